//! Figures: several runs as one, what processes use, and what they ran on.

mod machine;
mod process;
mod spread;

pub(crate) use machine::Machine;
pub(crate) use process::Usage;
pub(crate) use spread::{Spread, number};
