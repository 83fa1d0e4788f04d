//! One file a scenario.

mod floor;
mod throughput;

pub(crate) use throughput::Throughput;
