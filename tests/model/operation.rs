//! What our processes ask of the database, a transaction each, and what it answers.

use shared::task::Ended;

use super::clock::Millis;
use super::database::{Lease, Owner, Publication, TaskNo};

/// What is to become of a delivered task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It starts now.
    Start,
    /// No slot is free: it waits for so long.
    Park(Millis),
}

/// How waits are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// As short as can be.
    None,
    /// In between.
    Half,
    /// As long as can be.
    Full,
}

impl Jitter {
    /// As [`after`] takes it.
    #[must_use]
    pub const fn fraction(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Half => 0.5,
            Self::Full => 1.0,
        }
    }
}

/// A task that a worker has claimed, as it remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leased {
    /// Which task.
    pub task: TaskNo,
    /// The owner's epoch.
    pub epoch: i64,
    /// The number of the attempt.
    pub attempt: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
}

impl Leased {
    pub(super) const fn of(task: TaskNo, lease: &Lease) -> Self {
        Self { task, epoch: lease.epoch, attempt: lease.attempt, rescues: lease.rescues }
    }
}

/// A transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// `producer::outbox::put`.
    Enqueue {
        /// Which task.
        task: TaskNo,
        /// When it may run, from now.
        wait: Millis,
    },
    /// `worker::claim::transact`.
    Claim {
        /// Who claims.
        owner: Owner,
        /// What was delivered to it.
        batch: Vec<(TaskNo, Wish)>,
    },
    /// `lease::heartbeat`.
    Heartbeat {
        /// Whose.
        owner: Owner,
        /// What it holds.
        held: Vec<(TaskNo, i64)>,
    },
    /// `lease::control`, of which only the wishes for an end matter here.
    Control {
        /// Whose.
        owner: Owner,
    },
    /// `worker::record::transact`.
    Record {
        /// Who records.
        owner: Owner,
        /// Attempts with their ends.
        finished: Vec<(Leased, Ended)>,
        /// Spreads retries.
        jitter: Jitter,
    },
    /// `producer::reaper::reap`.
    Reap,
    /// `task::take_due`.
    TakeDue,
    /// `task::mark_published`.
    MarkPublished(Vec<Publication>),
    /// `task::publish_again`.
    PublishAgain(Vec<Publication>),
    /// `task::cancel`.
    CancelWaiting(TaskNo),
    /// `lease::cancel`.
    CancelRunning(TaskNo),
    /// `target::set_state` to attached, with `task::wake` of what waits for it.
    Attach,
    /// `target::set_state` to detached.
    Detach,
}

/// What a transaction answers, in the order of the tasks.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The claimed, the completed, or the rescued and buried attempts.
    Leased(Vec<Leased>),
    /// The leases that were extended, or whose end was asked for.
    Owned(Vec<(TaskNo, i64)>),
    /// The publications that are the relay's to do.
    Due(Vec<Publication>),
    /// How many rows were moved.
    Moved(u64),
}
