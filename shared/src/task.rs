//! A task: one piece of work, and the one function that owns what can become of it.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::name::{id_type, text_enum};
use crate::work::Reported;

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

    /// How often a task of this kind is tried where neither its worker nor its job says otherwise.
    #[must_use]
    pub const fn max_attempts(self) -> u16 {
        match self {
            // What a target looks like in an hour is another question.
            Self::Probe => 3,
            _ => 5,
        }
    }

    /// How long an attempt of this kind may take where neither its worker nor its job says otherwise.
    #[must_use]
    pub const fn time_limit(self) -> Duration {
        match self {
            Self::Probe | Self::Record => Duration::from_mins(10),
            Self::Report | Self::Maintain => Duration::from_hours(1),
            Self::Backup | Self::Copy | Self::Verify | Self::Restore | Self::Forget => {
                Duration::from_hours(24)
            }
        }
    }

    /// Whether others may ask for tasks of this kind: from them, what only Holdfast itself asks for is refused.
    #[must_use]
    pub const fn is_for_others(self) -> bool {
        !matches!(self, Self::Maintain)
    }

    /// Whether an attempt of this kind says if data was backed up: by us or, as it reports, by another system.
    #[must_use]
    pub const fn tells_of_a_backup(self) -> bool {
        matches!(self, Self::Backup | Self::Record)
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
        /// Done, with source errors or, where restore points are forgotten, without some that should be there.
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
    /// The work is done; `warning` says that parts of the source could not be read, or that something is missing.
    Done {
        /// Whether somebody should look at it.
        warning: bool,
    },
    /// What another system did is noted, whatever came of that.
    Noted {
        /// What it says came of it.
        reported: Reported,
        /// Why it is no success, in its words.
        error: Option<String>,
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
    /// The work took longer than it may; another attempt can be faster.
    TimedOut {
        /// How long it was given.
        limit: Duration,
    },
    /// A person ended it.
    Cancelled {
        /// Who.
        by: String,
    },
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
    /// It has to run alone, and too many tasks do so already: it comes again soon.
    Crowded,
    /// Its permit under a strict limit was over before it could begin: it comes again at once.
    Late,
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
    /// A person ended it.
    Cancelled,
    /// It will not run again by itself.
    Dead,
}

/// How often a task is taken from a worker that vanished before it is dead: the next could be its victim too.
pub const MAX_RESCUES: i32 = 3;
/// From so many rescues on, a task runs alone in its process: it may be what its workers died of.
pub const QUARANTINE_RESCUES: i32 = 2;
/// How long a task waits for a repository that somebody else holds, or for a process, by half more or less: two that met must not meet again.
const BUSY_DELAY: Duration = Duration::from_secs(5);
/// The first retry waits up to this long, each later one up to twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// No retry waits longer.
const LONGEST_BACKOFF: Duration = Duration::from_hours(1);

/// The transition of a running task when its attempt has ended.
///
/// `jitter`, from 0 to 1, spreads retries (full jitter, so that tasks that failed together do not come back together).
#[must_use]
pub fn after(ended: &Ended, tries: Tries, jitter: f64) -> Next {
    let Tries { attempt, max_attempts, rescues } = tries;
    let queued = |after, attempt_counts, rescued| Next::Queued { after, attempt_counts, rescued };
    match ended {
        Ended::Done { .. } | Ended::Noted { .. } => Next::Succeeded,
        Ended::Cancelled { .. } => Next::Cancelled,
        Ended::Failed { retryable: true, .. } | Ended::TimedOut { .. } if attempt < max_attempts => {
            queued(Some(backoff(attempt).mul_f64(jitter.clamp(0.0, 1.0))), true, false)
        }
        Ended::Postponed(Postponed::Detached(_)) => queued(None, false, false),
        Ended::Postponed(Postponed::Busy(_) | Postponed::Crowded) => {
            queued(Some(BUSY_DELAY.mul_f64(0.5 + jitter.clamp(0.0, 1.0))), false, false)
        }
        Ended::Postponed(Postponed::Late) | Ended::Interrupted => queued(Some(Duration::ZERO), false, false),
        Ended::Lost if rescues < MAX_RESCUES => queued(Some(Duration::ZERO), false, true),
        Ended::Failed { .. } | Ended::TimedOut { .. } | Ended::Lost => Next::Dead,
    }
}

/// How often a task was tried, and how often it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Counts from 1 and includes the attempt that ended.
    pub attempt: i32,
    /// The last attempt that may be made.
    pub max_attempts: i32,
    /// Rescues from lost workers before this end.
    pub rescues: i32,
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
            Self::Noted { reported, .. } => Some((*reported).into()),
            Self::Failed { .. } => Some(Outcome::Failed),
            Self::TimedOut { .. } => Some(Outcome::TimedOut),
            Self::Cancelled { .. } => Some(Outcome::Cancelled),
            Self::Lost => Some(Outcome::Lost),
            Self::Postponed(_) | Self::Interrupted => None,
        }
    }

    /// Why the attempt came to no good end, or to none, for people.
    #[must_use]
    pub fn error(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Failed { error, .. } => Some(Cow::Borrowed(error)),
            Self::Noted { reported: Reported::Failed, error: None } => {
                Some(Cow::Borrowed("reported as failed, without a reason"))
            }
            Self::Noted { error, .. } => error.as_deref().map(Cow::Borrowed),
            Self::TimedOut { limit } => {
                let limit = humantime::format_duration(*limit);
                Some(Cow::Owned(format!("not done within its time limit of {limit}")))
            }
            Self::Cancelled { by } => Some(Cow::Owned(format!("cancelled by {by}"))),
            Self::Lost => Some(Cow::Borrowed("the worker was not heard of until its lease ran out")),
            Self::Interrupted => Some(Cow::Borrowed("given back: its worker stopped")),
            Self::Postponed(Postponed::Detached(target)) => Some(Cow::Owned(format!("{target} is detached"))),
            Self::Postponed(Postponed::Busy(target)) => {
                Some(Cow::Owned(format!("somebody else uses the repository of {target}")))
            }
            Self::Postponed(Postponed::Crowded) => {
                Some(Cow::Borrowed("it has to run alone, and too many tasks do so already"))
            }
            Self::Postponed(Postponed::Late) => {
                Some(Cow::Borrowed("its permit under a strict limit was over before it could begin"))
            }
            Self::Done { .. } => None,
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
    pub params: crate::params::Params,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub enqueued_at: DateTime<Utc>,
    /// The trace that it belongs to.
    pub trace: Option<crate::trace::TraceContext>,
}

#[cfg(test)]
mod tests;
