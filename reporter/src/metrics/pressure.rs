//! What a look at the pools says to those who do not look themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared::task::TaskKind;

/// A look older than so many refreshes says nothing of the present.
const OLD: u32 = 3;

/// How much waits for the pools.
#[derive(Debug, Clone)]
pub struct Pressure {
    /// By kind of task.
    pub kinds: BTreeMap<TaskKind, OfKind>,
    seen: Instant,
}

/// How much waits for a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OfKind {
    /// In how many seconds the last task that waits now has begun; infinite without slots.
    pub drain: f64,
    /// Since when the oldest task could run that waits for nothing and that nobody has taken.
    pub oldest_due: Option<DateTime<Utc>>,
}

impl Pressure {
    /// What is seen now.
    #[must_use]
    pub fn now(kinds: BTreeMap<TaskKind, OfKind>) -> Self {
        Self { kinds, seen: Instant::now() }
    }

    /// Whether it was seen lately, by somebody who looks every `refresh`.
    #[must_use]
    pub fn is_recent(&self, refresh: Duration) -> bool {
        self.seen.elapsed() < refresh * OLD
    }
}
