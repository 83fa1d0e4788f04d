//! One file a scenario.

mod floor;
mod growth;
mod throughput;

pub(crate) use growth::Growth;
pub(crate) use throughput::Throughput;
