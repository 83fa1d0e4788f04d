//! One file a scenario.

mod files;
mod floor;
mod peers;
mod stress;
mod throughput;

pub(crate) use files::Files;
pub(crate) use peers::Peers;
pub(crate) use stress::Stress;
pub(crate) use throughput::Throughput;
