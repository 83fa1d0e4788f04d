//! One attempt, as executors see it.

use std::time::Duration;

use serde_json::json;
use shared::db;
use shared::db::job::JobTarget;
use shared::db::lease::Leased;
use shared::db::repository_lock::Holder;
use shared::db::restore_point::RestorePoint;
use shared::job::JobId;
use shared::target::{TargetId, TargetName};
use shared::task::{Ended, Postponed};
use shared::trace::SpanContext;
use shared::work::RestorePointId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::parent::{Completed, EngineError, Said};
use crate::engine::protocol::{Operation, Progress, Speeds};
use crate::lease::Lease;
use crate::plan::Plan;
use crate::speed::Speedometer;
use crate::traced::OperationSpans;
use crate::worker::Worker;

/// One try of a task.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Who runs it.
    pub worker: &'a Worker,
    /// The task with its attempt.
    pub leased: &'a Leased,
    /// Its job and targets.
    pub plan: &'a Plan,
    /// Its lease.
    pub lease: &'a Lease,
    /// Ends its engine operation.
    pub cancel: &'a CancellationToken,
    /// How fast it is.
    pub speed: &'a Speedometer,
    /// The span of its execution, if it is traced.
    pub execution: Option<SpanContext>,
}

impl Attempt<'_> {
    /// Runs an engine operation in a child process that lives no longer than the lease, and is no faster than its
    /// targets' limits.
    pub async fn engine(&self, mut operation: Operation) -> Result<Completed, EngineError> {
        let repositories = operation.repositories_mut();
        let uses = |target: &&JobTarget| {
            repositories.iter().any(|repository| repository.location == target.target.repository)
        };
        let targets = self.plan.job().map(|plan| plan.targets.iter().filter(uses).cloned().collect());
        let speeds = self.speeds(targets.unwrap_or_default()).await;
        let speeds = speeds.map_err(|error| EngineError::Process(error.to_string()))?;
        let (lease, cancel) = (self.lease.deadlines(), self.cancel.clone());
        let mut spans = self.execution.map(|execution| OperationSpans::begin(operation.name(), execution));
        let hear = |said| match (said, &mut spans) {
            (Said::Progress(progress), _) => self.report(&progress),
            (Said::Phase(phase), Some(spans)) => spans.phase(phase),
            (Said::Phase(_), None) => {}
        };
        let ended = self.worker.engine.run_at(operation, speeds, lease, cancel, hear).await;
        if let Some(spans) = spans {
            spans.end(&ended);
        }
        ended
    }

    async fn speeds(&self, targets: Vec<JobTarget>) -> Result<watch::Receiver<Speeds>, db::Error> {
        let (limits, client) = (&self.worker.limits, self.worker.database.client().await?);
        // Also in a process of its own, which has looked for no limits yet.
        let version = db::job::definitions_version(&client).await?;
        let book = limits.at(&client, version).await?;
        limits.speeds().follow(&client, &book, targets).await
    }

    /// How long it may take.
    pub fn limit(&self) -> Duration {
        self.worker.tries(self.leased.task.kind, self.plan).timeout
    }

    /// Says how far the work is.
    pub fn report(&self, progress: &Progress) {
        let speed = self.speed.of(progress);
        let mut shown = json!(progress);
        shown["bytes_per_second"] = json!(speed);
        self.lease.report(shown);
    }

    /// Who holds repository locks for this attempt.
    pub fn holder(&self) -> Holder {
        Holder { task: self.leased.task.id, epoch: self.leased.epoch, lease: self.worker.lease }
    }

    /// A restore point that a task names, and that can be read.
    pub async fn point(&self, job: JobId, id: RestorePointId) -> Result<RestorePoint, Ended> {
        let client = self.worker.database.client().await.map_err(retry)?;
        let point = db::restore_point::by_id(&client, id).await.map_err(retry)?;
        if let Some(point) = point.filter(|point| point.job == job) {
            let reported = format!("another system reported the restore point {id}: it cannot be read");
            return if point.reported { Err(refuse(reported)) } else { Ok(point) };
        }
        Err(refuse(match db::restore_point::forgotten_at(&client, id).await.map_err(retry)? {
            Some(at) => format!("the restore point {id} was forgotten at {}", at.format("%F %T UTC")),
            None => format!("the job has no restore point {id}"),
        }))
    }

    /// The newest restore point of a job on a target.
    pub async fn newest_point(
        &self,
        job: JobId,
        target: TargetId,
        name: &TargetName,
    ) -> Result<RestorePoint, Ended> {
        let client = self.worker.database.client().await.map_err(retry)?;
        let newest = db::restore_point::newest(&client, job, target).await.map_err(retry)?;
        newest.ok_or_else(|| refuse(format!("the job has no restore point on {name} yet")))
    }
}

/// An end after which another attempt may come out differently.
pub(super) fn retry(error: impl std::fmt::Display) -> Ended {
    Ended::Failed { retryable: true, error: error.to_string() }
}

/// An end that stays the same however often it is tried.
pub(super) fn refuse(error: impl Into<String>) -> Ended {
    Ended::Failed { retryable: false, error: error.into() }
}

/// An end without a free way to a target's repository.
pub(super) fn away(target: &TargetName) -> Ended {
    Ended::Postponed(Postponed::Detached(target.clone()))
}

impl From<EngineError> for Ended {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Permanent(_) | EngineError::Source(_) | EngineError::Gone(_) => {
                refuse(error.to_string())
            }
            EngineError::Transient(_) | EngineError::Process(_) | EngineError::Crashed { .. } => retry(error),
            EngineError::Cancelled | EngineError::LeaseLost => Self::Interrupted,
        }
    }
}
