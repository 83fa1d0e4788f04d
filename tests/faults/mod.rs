//! Faults: what breaks in production, brought about on purpose, and what must hold nevertheless.
//!
//! `cargo xtask faults` runs them all, `cargo xtask test` the short forms of some. Each happens in an [`Arena`],
//! which is healed and drained in the end; then a [`Verdict`] compares the database with what the attempts
//! themselves wrote down.

mod catalogue;
mod form;
mod report;
mod screen;

mod arena;
mod effects;
mod evidence;
mod load;
mod rollups;
mod verdict;

mod writer;

mod black_hole;
mod broker_outages;
mod consumer_timeout;
mod database_outages;
mod disk_alarm;
mod full_disk;
mod killed_notifiers;
mod killed_producers;
mod killed_reporters;
mod killed_workers;
mod limits;
mod lost_consumer;
mod model_check;
mod paused_workers;
mod poison;
mod rolling_restarts;
mod wiped_broker;

pub use arena::{Arena, Findings, OwnServers};
pub use catalogue::{ALL, Fault, find};
pub use effects::{Effect, EffectLog, What};
pub use form::Form;
pub use load::{Load, Order, backup, restore};
pub use report::{Bar, Report, table};
pub use screen::Screen;
pub use verdict::{Evidence, Execution, Verdict};
