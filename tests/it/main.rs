//! End-to-end tests: real servers, our real programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod bad_messages;
mod claims;
mod control;
mod copies;
mod dead;
mod definitions;
mod demo;
mod detach;
mod failures;
mod faults;
mod history;
mod keys;
mod killed_worker;
mod limits;
mod loadtest;
mod main_line;
mod model;
mod plans;
mod pool;
mod pools;
mod publisher;
mod recorders;
mod removals;
mod reporter;
mod restic;
mod returned;
mod scaling;
mod schema;
mod tables;
mod tasks;
mod unheard;
mod unreadable;
mod window;
