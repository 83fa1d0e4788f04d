//! What comes out of an attempt.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::db::execution::Volume;
use shared::db::lease::Leased;
use shared::db::manifest::Manifest;
use shared::db::report;
use shared::db::restore_point::RestorePoint;
use shared::evidence::Finding;
use shared::target::TargetId;
use shared::task::Ended;
use shared::work::RestorePointId;

use crate::lease::Lease;
use crate::plan::Plan;
use crate::traced::Traced;

/// What an executor returns: how it ended, and what is to be recorded with it.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// The target that it worked on.
    pub target: Option<TargetId>,
    /// What it moved.
    pub volume: Volume,
    /// What else is worth keeping.
    pub detail: Option<Value>,
    /// What it observed about the job's copy on the target; also a failed check is an observation.
    pub findings: Vec<Finding>,
    /// When the target had last been changed as the findings were made: they count only if it is still the same.
    pub as_of: Option<DateTime<Utc>>,
    /// The restore point that it wrote. This and what follows is rare, and outcomes are handed on often: boxes keep them small.
    pub restore_point: Option<Box<RestorePoint>>,
    /// The manifest of the source that it read.
    pub manifest: Option<Box<Manifest>>,
    /// The report that it made.
    pub report: Option<Box<report::New>>,
    /// The restore points that are gone from the target.
    pub forgotten: Option<Box<Forgotten>>,
}

/// What a target holds no more.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// These restore points.
    pub points: Vec<RestorePointId>,
    /// What nothing needs any more: the repository was pruned.
    pub pruned: bool,
}

impl Outcome {
    /// An end with nothing beside it.
    #[must_use]
    pub fn new(ended: Ended) -> Self {
        Self {
            ended,
            target: None,
            volume: Volume::default(),
            detail: None,
            findings: Vec::new(),
            as_of: None,
            restore_point: None,
            manifest: None,
            report: None,
            forgotten: None,
        }
    }

    /// Work that is done.
    #[must_use]
    pub fn done() -> Self {
        Self::new(Ended::Done { warning: false })
    }

    /// Work that another attempt would not do either.
    #[must_use]
    pub fn refused(error: impl Into<String>) -> Self {
        Self::new(Ended::Failed { retryable: false, error: error.into() })
    }

    /// Names the target.
    #[must_use]
    pub fn on(mut self, target: TargetId) -> Self {
        self.target = Some(target);
        self
    }
}

/// An attempt that has ended and waits to be recorded; its lease is kept until then.
#[derive(Debug)]
pub struct Finished {
    /// The task with its attempt.
    pub leased: Leased,
    /// Its job and targets.
    pub plan: Plan,
    /// Extended until it is recorded.
    pub lease: Lease,
    /// What came out.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// How often the task may be tried.
    pub max_attempts: i32,
    /// Whether the database refused what really came out.
    pub given_up: bool,
    /// Its trace, if it is traced.
    pub traced: Option<Box<Traced>>,
}
