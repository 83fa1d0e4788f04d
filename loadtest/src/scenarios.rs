//! One file a scenario.

mod floor;
mod latency;
mod throughput;

pub(crate) use latency::Latency;
pub(crate) use throughput::Throughput;
