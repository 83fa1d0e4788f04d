//! End-to-end tests: real servers, our real programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod admin;
mod alerts;
mod back_in_time;
mod back_pressure;
mod bad_messages;
mod calendar;
mod care;
mod claims;
mod configuration;
mod control;
mod copies;
mod dead;
mod definitions;
mod demo;
mod deploy;
mod detach;
mod dump;
mod enqueue;
mod failures;
mod faults;
mod forget;
mod history;
mod http;
mod http_contract;
mod http_definitions;
mod http_limits;
mod keys;
mod killed_worker;
mod limits;
mod loadtest;
mod main_line;
mod metrics;
mod model;
mod monitoring;
mod notifications;
mod plans;
mod pool;
mod pools;
mod publisher;
mod publishing;
mod reads;
mod recorders;
mod removals;
mod reported;
mod reporter;
mod reports;
mod restic;
mod returned;
mod rollups;
mod scaling;
mod schedules;
mod schema;
mod tables;
mod tasks;
mod tls;
mod trace;
mod traces;
mod unheard;
mod unreadable;
mod upgrade;
mod window;
