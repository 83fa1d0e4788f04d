//! Figures: several runs as one, latencies, what processes use, and what they ran on.

mod latencies;
mod machine;
mod moment;
mod process;
mod spread;

pub(crate) use latencies::Latencies;
pub(crate) use machine::Machine;
pub(crate) use moment::Moment;
pub(crate) use process::Usage;
pub(crate) use spread::{Spread, number};
