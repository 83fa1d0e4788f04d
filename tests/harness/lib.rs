//! What every end-to-end test stands on: a private database, a private virtual host on the broker, and our own
//! programs beside them.
//!
//! The servers themselves are started by `cargo xtask test`; without them a test fails, it is never skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot set up its world has failed"
)]

mod alerts;
mod authority;
mod broker;
mod collector;
mod database;
mod engine;
#[path = "../model/mod.rs"]
pub mod model;
mod programs;
mod receiver;
mod servers;
mod world;

#[path = "../faults/mod.rs"]
pub mod faults;

pub use authority::{Authority, Validity, openssl};
pub use broker::{DeadLetter, VirtualHost};
pub use collector::{Answer, Collector, Seen};
pub use engine::{children, count_files, hold_inside_backup};
pub use programs::{Run, address, metrics};
pub use receiver::{Received, Receiver};
pub use servers::Servers;
pub use world::{DEADLINE, World, eventually, noise};
