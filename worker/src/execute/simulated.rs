//! Pretended work: takes its time, fails as often as it is told, and leaves the same rows and evidence as real work.

use std::time::Duration;

use shared::db;
use shared::db::execution::Volume;
use shared::db::restore_point::RestorePoint;
use shared::evidence::{Check, Finding};
use shared::target::{TargetId, TargetName, TargetState};
use shared::task::Ended;
use shared::work::{Level, RestorePointId, Work};
use uuid::Uuid;

use super::attempt::{Attempt, refuse, retry};
use super::files::written;
use crate::outcome::Outcome;
use crate::plan::JobWithTargets;

/// The source of a job that pretends.
pub(super) struct Simulated {
    /// How long an operation takes.
    pub duration: Duration,
    /// The share of attempts that fail.
    pub failure_rate: f64,
    /// The size of a restore point, in bytes.
    pub bytes: u64,
}

impl Simulated {
    /// Pretends to do some work.
    pub(super) async fn run(
        &self,
        attempt: &Attempt<'_>,
        plan: &JobWithTargets,
        work: &Work,
    ) -> Result<Outcome, Ended> {
        if !self.duration.is_zero() {
            tokio::time::sleep(self.duration).await;
        }
        if rand::random::<f64>() < self.failure_rate {
            return Err(retry("the simulated work failed, as it was told to"));
        }
        match work {
            Work::Backup => {
                let target = plan.job.job.primary().ok_or_else(|| refuse("the job has no target"))?;
                let point = self.point(attempt, plan, find(plan, target)?, None);
                Ok(with_point(&point))
            }
            Work::Copy(params) => {
                let original = Some(params.restore_point);
                Ok(with_point(&self.point(attempt, plan, find(plan, &params.target)?, original)))
            }
            Work::Verify(params) => {
                let target = find(plan, &params.target)?;
                let point = attempt.newest_point(plan.job.id, target, &params.target).await?;
                Ok(Outcome { findings: self.check(params.level, &point), ..Outcome::done().on(target) })
            }
            Work::Probe(params) => self.probe(attempt, find(plan, &params.target)?, &params.target).await,
            Work::Restore(_) | Work::Report(_) => Ok(Outcome::done()),
        }
    }

    fn point(
        &self,
        attempt: &Attempt<'_>,
        plan: &JobWithTargets,
        target: TargetId,
        copied_from: Option<RestorePointId>,
    ) -> RestorePoint {
        RestorePoint {
            id: RestorePointId(Uuid::now_v7()),
            job: plan.job.id,
            target,
            snapshot: format!("simulated-{}", attempt.leased.task.id),
            data_time: attempt.leased.started_at,
            seconds: self.duration.as_secs_f64(),
            volume: Volume { files: 1, bytes: self.bytes, bytes_added: self.bytes, source_errors: 0 },
            copied_from,
            manifest: None,
            task: attempt.leased.task.id,
        }
    }

    fn check(&self, level: Level, point: &RestorePoint) -> Vec<Finding> {
        let seconds = self.duration.as_secs_f64();
        let check = Check { restore_point: point.id, passed: true, seconds, detail: String::new() };
        match level {
            Level::Structure => vec![Finding::Structure(check), Finding::Listing { present: true }],
            Level::Read => vec![Finding::Read(check)],
            Level::Restore => vec![Finding::RestoreTest(check)],
        }
    }

    /// A pretended target is where the database says it is.
    async fn probe(
        &self,
        attempt: &Attempt<'_>,
        target: TargetId,
        name: &TargetName,
    ) -> Result<Outcome, Ended> {
        let client = attempt.worker.database.client().await.map_err(retry)?;
        let stored = db::target::by_name(&client, name).await.map_err(retry)?;
        let stored = stored.ok_or_else(|| refuse(format!("no target is named {name}")))?;
        let finding = match stored.state {
            TargetState::Attached => Finding::Listing { present: true },
            TargetState::Detaching => Finding::Inventory { present: true },
            TargetState::Detached => Finding::Detached,
        };
        Ok(Outcome { findings: vec![finding], as_of: Some(stored.changed_at), ..Outcome::done().on(target) })
    }
}

fn find(plan: &JobWithTargets, name: &TargetName) -> Result<TargetId, Ended> {
    plan.target(name)
        .map(|target| target.id)
        .ok_or_else(|| refuse(format!("{name} is none of the job's targets")))
}

fn with_point(point: &RestorePoint) -> Outcome {
    Outcome {
        volume: point.volume,
        findings: vec![written(point)],
        restore_point: Some(point.clone()),
        ..Outcome::done().on(point.target)
    }
}
