//! A task: one piece of work, and the one function that owns what can become of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::name::{id_type, text_enum};

id_type! {
    /// A task's identity, chosen by whoever publishes it; it makes publishing idempotent.
    TaskId(Uuid)
}

id_type! {
    /// A running worker process.
    WorkerId(Uuid)
}

id_type! {
    /// Counts the owners of a task: what an owner of an earlier epoch commits is refused.
    Epoch(i64)
}

impl TaskId {
    /// A new id that sorts by its time (UUID version 7).
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl WorkerId {
    /// A new id for a process that starts.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

text_enum! {
    /// What a task does.
    TaskKind {
        /// Takes a backup of a job's source to its first target.
        Backup = "backup",
        /// Copies a restore point to another target.
        Copy = "copy",
        /// Checks a restore point on a target.
        Verify = "verify",
        /// Writes a restore point back to a directory.
        Restore = "restore",
        /// Looks whether a target can be reached, and what it holds.
        Probe = "probe",
        /// Applies retention.
        Forget = "forget",
        /// Makes a report and stores it.
        Report = "report",
        /// Looks after the database.
        Maintain = "maintain",
        /// Takes in what another system did.
        Record = "record",
    }
}

impl TaskKind {
    /// Whether a task of this kind works on a job, and so must name one.
    #[must_use]
    pub const fn needs_job(self) -> bool {
        !matches!(self, Self::Report | Self::Maintain)
    }

    /// Whether this version executes the kind; tasks of the others are refused with that reason.
    #[must_use]
    pub const fn is_implemented(self) -> bool {
        !matches!(self, Self::Forget | Self::Maintain | Self::Record)
    }
}

text_enum! {
    /// Which of a kind's two queues a task travels through.
    Priority {
        /// Taken first.
        High = "high",
        /// The ordinary one.
        Normal = "normal",
    }
}

text_enum! {
    /// What came of an attempt, as people and metrics see it.
    Outcome {
        /// Done.
        Success = "success",
        /// Done, with source errors.
        Warning = "warning",
        /// Not done.
        Failed = "failed",
        /// Not done within its time.
        TimedOut = "timed_out",
        /// Ended by a person.
        Cancelled = "cancelled",
        /// The lease ran out: nobody knows.
        Lost = "lost",
    }
}

/// How an attempt ended, classified once; everything after matches on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The work is done; `warning` says that parts of the source could not be read.
    Done {
        /// Whether there were source errors.
        warning: bool,
    },
    /// The work failed.
    Failed {
        /// Whether another attempt can come out differently.
        retryable: bool,
        /// For people.
        error: String,
    },
    /// The work could not begin; the attempt does not count.
    Postponed(Postponed),
    /// The worker was told to stop; the attempt does not count.
    Interrupted,
    /// The lease expired without a word from its owner.
    Lost,
}

/// Why work could not begin yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Postponed {
    /// Its target is detached: it waits for the return, for however long.
    Detached(crate::target::TargetName),
    /// Somebody else holds the repository: it comes again soon.
    Busy(crate::target::TargetName),
}

/// Where a task that was running goes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It is finished.
    Succeeded,
    /// It waits and runs again.
    Queued {
        /// How long it waits; `None` until something wakes it.
        after: Option<Duration>,
        /// Whether the attempt is counted.
        attempt_counts: bool,
        /// Whether this was a rescue from a lost worker.
        rescued: bool,
    },
    /// It will not run again by itself.
    Dead,
}

/// How often a task is tried before it is dead.
pub const MAX_ATTEMPTS: i32 = 5;
/// How often a task is taken from a worker that vanished before it is dead: the next could be its victim too.
pub const MAX_RESCUES: i32 = 3;
/// How long a task waits when somebody else holds the repository, by half more or less: two that met must not meet again.
const BUSY_DELAY: Duration = Duration::from_secs(5);
/// The first retry waits up to this long, each later one up to twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// No retry waits longer.
const LONGEST_BACKOFF: Duration = Duration::from_hours(1);

/// The transition of a running task when its attempt has ended.
///
/// `attempt` counts from 1 and includes the one that ended; `rescues` does not include this end. `jitter`,
/// from 0 to 1, spreads retries (full jitter, so that tasks that failed together do not come back together).
#[must_use]
pub fn after(ended: &Ended, attempt: i32, rescues: i32, jitter: f64) -> Next {
    let queued = |after, attempt_counts, rescued| Next::Queued { after, attempt_counts, rescued };
    match ended {
        Ended::Done { .. } => Next::Succeeded,
        Ended::Failed { retryable: true, .. } if attempt < MAX_ATTEMPTS => {
            queued(Some(backoff(attempt).mul_f64(jitter.clamp(0.0, 1.0))), true, false)
        }
        Ended::Postponed(Postponed::Detached(_)) => queued(None, false, false),
        Ended::Postponed(Postponed::Busy(_)) => {
            queued(Some(BUSY_DELAY.mul_f64(0.5 + jitter.clamp(0.0, 1.0))), false, false)
        }
        Ended::Interrupted => queued(Some(Duration::ZERO), false, false),
        Ended::Lost if rescues < MAX_RESCUES => queued(Some(Duration::ZERO), false, true),
        Ended::Failed { .. } | Ended::Lost => Next::Dead,
    }
}

fn backoff(attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(16);
    (FIRST_BACKOFF * 2_u32.pow(doublings)).min(LONGEST_BACKOFF)
}

impl Ended {
    /// The outcome that is recorded for an attempt that counts; `None` where nothing happened worth a record.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Done { warning: false } => Some(Outcome::Success),
            Self::Done { warning: true } => Some(Outcome::Warning),
            Self::Failed { .. } => Some(Outcome::Failed),
            Self::Lost => Some(Outcome::Lost),
            Self::Postponed(_) | Self::Interrupted => None,
        }
    }
}

/// A task with all that survives a change of its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its identity.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// Its queue.
    pub priority: Priority,
    /// The job it works on.
    pub job: Option<crate::job::JobId>,
    /// What it needs beside the job, as it came.
    pub params: serde_json::Value,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub enqueued_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_end() -> impl Strategy<Value = Ended> {
        prop_oneof![
            any::<bool>().prop_map(|warning| Ended::Done { warning }),
            any::<bool>().prop_map(|retryable| Ended::Failed { retryable, error: String::new() }),
            Just(Ended::Postponed(Postponed::Busy("disk-a".parse().unwrap()))),
            Just(Ended::Postponed(Postponed::Detached("disk-a".parse().unwrap()))),
            Just(Ended::Interrupted),
            Just(Ended::Lost),
        ]
    }

    proptest! {
        #[test]
        fn a_task_that_always_ends_badly_dies_after_a_bounded_number_of_ends(
            ends in prop::collection::vec(prop_oneof![
                Just(Ended::Lost), Just(Ended::Failed { retryable: true, error: String::new() })], 40)
        ) {
            let (mut attempt, mut rescues, mut died) = (1, 0, None);
            for (n, end) in ends.iter().enumerate() {
                match after(end, attempt, rescues, 1.0) {
                    Next::Dead => { died = Some(n); break; }
                    Next::Queued { attempt_counts, rescued, .. } => {
                        attempt += i32::from(attempt_counts);
                        rescues += i32::from(rescued);
                    }
                    Next::Succeeded => prop_assert!(false, "a bad end became a success"),
                }
            }
            prop_assert!(died.is_some_and(|n| n < usize::try_from(MAX_ATTEMPTS + MAX_RESCUES).unwrap()));
        }

        #[test]
        fn only_done_work_succeeds(end in any_end(), attempt in 1..100, rescues in 0..100, jitter in 0.0..1.0) {
            let next = after(&end, attempt, rescues, jitter);
            prop_assert_eq!(next == Next::Succeeded, matches!(end, Ended::Done { .. }));
        }

        #[test]
        fn a_retry_never_waits_longer_than_the_longest_backoff(attempt in 1..MAX_ATTEMPTS, jitter in -1.0..2.0) {
            let end = Ended::Failed { retryable: true, error: String::new() };
            if let Next::Queued { after: Some(wait), .. } = after(&end, attempt, 0, jitter) {
                prop_assert!(wait <= LONGEST_BACKOFF);
            }
        }
    }

    #[test]
    fn what_cannot_come_out_differently_is_not_tried_again() {
        let end = Ended::Failed { retryable: false, error: "wrong password".into() };
        assert_eq!(after(&end, 1, 0, 0.5), Next::Dead);
    }
}
