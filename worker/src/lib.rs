//! The worker: takes tasks from the queues and runs them.

pub mod engine;
