//! One file a scenario.

mod floor;
mod growth;
mod latency;
mod memory;
mod slots;
mod throughput;

pub(crate) use growth::Growth;
pub(crate) use latency::Latency;
pub(crate) use memory::Memory;
pub(crate) use slots::Slots;
pub(crate) use throughput::Throughput;
