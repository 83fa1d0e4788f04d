//! One file a scenario.

mod allowance;
mod builds;
mod floor;
mod throughput;

mod definitions;
mod growth;
mod http;
mod latency;
mod limits;
mod memory;
mod reports;
mod rollups;
mod scaling;
mod slots;

mod files;
mod peers;
mod stress;

pub(crate) use allowance::Allowance;
pub(crate) use builds::Builds;
pub(crate) use definitions::Definitions;
pub(crate) use files::Files;
pub(crate) use growth::Growth;
pub(crate) use http::Http;
pub(crate) use latency::Latency;
pub(crate) use limits::Limits;
pub(crate) use memory::Memory;
pub(crate) use peers::Peers;
pub(crate) use reports::Reports;
pub(crate) use rollups::Rollups;
pub(crate) use scaling::Scaling;
pub(crate) use slots::Slots;
pub(crate) use stress::Stress;
pub(crate) use throughput::Throughput;

use clap::builder::RangedU64ValueParser;

/// Reads a number of things of which there must be some.
fn from_one_to(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}
