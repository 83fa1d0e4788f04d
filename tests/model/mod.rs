//! The lease and task machine as a pure function of a state and an event, and walks through its states.
//!
//! [`step`] is what the protocol does: the broker hands over, the database remembers. It decides about an attempt's
//! end by the very [`shared::task::after`] that the programs call; what the statements of `shared::db` do is repeated
//! here, statement by statement, and a test in `tests/it/model.rs` holds the two against each other. After each step
//! of a walk every [`Invariant`] is looked at, and at its end all faults cease and everything has to come to rest.
//!
//! What is beyond the model: the two clocks run at one rate; an operation looks at its deadline and has its effect at
//! one moment; an id is known for ever; queues have no limit of deliveries; jobs do not become inactive.

mod clock;
mod database;
mod dice;
mod event;
mod explore;
mod happened;
mod invariants;
mod operation;
mod protocol;
mod seen;
mod shape;
mod state;
mod step;
mod transaction;
mod walk;
mod words;

mod broker;
mod worker;

#[cfg(test)]
mod tests;

/// Tasks of a model's world.
pub const TASKS: usize = 3;
/// Its workers.
pub const WORKERS: usize = 3;

pub use clock::{CLOCK_STEP, Clocks, LEASE, Millis, NEVER, REPUBLISH_AFTER};
pub use database::{Database, Execution, Lease, Owner, Publication, Rows, TaskNo, Waiting};
pub use event::{Batch, Event, How, Kind};
pub use explore::{Report, Violation, events_of_a_walk, explore, explore_variant};
pub use happened::Happened;
pub use invariants::{Broken, Invariant, broken, broken_at_rest, is_at_rest};
pub use operation::{Answer, Jitter, Leased, Operation, Wish};
pub use protocol::{Protocol, Safeguard};
pub use seen::{Commit, End, Seen};
pub use state::{Attempt, Beat, Claim, Confirm, Delivery, Effect, Last, Life, State, Taken, Worker};
pub use step::step;
pub use transaction::{MAX_ATTEMPTS, Transaction};
