//! Pretended work: takes its time, fails as often as it is told, and leaves the same rows and evidence as real work.

use std::time::Duration;

use shared::db::execution::Volume;
use shared::db::job::JobTarget;
use shared::db::restore_point::RestorePoint;
use shared::evidence::{Check, Finding};
use shared::target::{TargetId, TargetName, TargetState};
use shared::task::Ended;
use shared::work::{Level, RestorePointId, Work};
use tokio::time::Instant;
use uuid::Uuid;

use super::attempt::{Attempt, refuse, retry};
use super::files::written;
use super::forget::{Known, retention_of};
use crate::effects::Effect;
use crate::engine::protocol::Progress;
use crate::outcome::{Forgotten, Outcome};
use crate::retention::forgettable;
use shared::db::definition::JobWithTargets;

/// How often pretended work shows that it goes on.
const TICK: Duration = Duration::from_millis(100);

/// The source of a job that pretends.
pub(super) struct Simulated {
    /// How long an operation takes.
    pub duration: Duration,
    /// The share of attempts that fail.
    pub failure_rate: f64,
    /// The size of a restore point, in bytes.
    pub bytes: u64,
    /// Whether it ends its process.
    pub aborts: bool,
}

impl Simulated {
    /// Pretends to do some work.
    pub(super) async fn run(
        &self,
        attempt: &Attempt<'_>,
        plan: &JobWithTargets,
        work: &Work,
    ) -> Result<Outcome, Ended> {
        self.pretend(attempt).await?;
        if rand::random::<f64>() < self.failure_rate {
            return Err(retry("the simulated work failed, as it was told to"));
        }
        match work {
            Work::Backup => {
                let target = plan.job.job.primary().ok_or_else(|| refuse("the job has no target"))?;
                let point = self.point(attempt, plan, find(plan, target)?.id, None);
                Ok(with_point(&point))
            }
            Work::Copy(params) => {
                let original = Some(params.restore_point);
                Ok(with_point(&self.point(attempt, plan, find(plan, &params.target)?.id, original)))
            }
            Work::Verify(params) => {
                let target = find(plan, &params.target)?.id;
                let point = Box::pin(attempt.newest_point(plan.job.id, target, &params.target)).await?;
                Ok(Outcome { findings: self.check(params.level, &point), ..Outcome::done().on(target) })
            }
            Work::Probe(params) => Ok(probe(find(plan, &params.target)?)),
            Work::Forget(params) => Box::pin(forget(attempt, plan, find(plan, &params.target)?.id)).await,
            Work::Restore(_) | Work::Report(_) | Work::Record(_) | Work::Maintain(_) => Ok(Outcome::done()),
        }
    }

    /// Takes its time. What it does is written down, and as real work it does nothing after its lease.
    async fn pretend(&self, attempt: &Attempt<'_>) -> Result<(), Ended> {
        let write = |effect| {
            if !attempt.lease.is_valid() {
                return Err(Ended::Interrupted);
            }
            attempt.worker.effects.append(attempt.worker.identity.id, attempt.leased, effect);
            Ok(())
        };
        write(Effect::Started)?;
        if self.aborts {
            std::process::abort();
        }
        let end = Instant::now() + self.duration;
        while Instant::now() < end {
            tokio::select! {
                () = tokio::time::sleep_until(end.min(Instant::now() + TICK)) => {}
                () = attempt.cancel.cancelled() => return Err(Ended::Interrupted),
            }
            self.show(attempt, end);
            write(Effect::Tick)?;
        }
        write(Effect::Done)
    }

    fn show(&self, attempt: &Attempt<'_>, end: Instant) {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let remaining = milliseconds(end.saturating_duration_since(Instant::now()));
        let all = milliseconds(self.duration).max(1);
        attempt.report(&Progress {
            phase: "pretending".to_owned(),
            files_done: Some(u64::from(remaining == 0)),
            files_total: Some(1),
            bytes_done: self.bytes - self.bytes.min(self.bytes / all * remaining),
            bytes_total: Some(self.bytes),
        });
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
            reported: false,
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
}

/// A pretended target is where the database said that it was when the task was claimed.
fn probe(target: &JobTarget) -> Outcome {
    let finding = match target.state {
        TargetState::Attached => Finding::Listing { present: true },
        TargetState::Detaching => Finding::Inventory { present: true },
        TargetState::Detached => Finding::Detached,
    };
    Outcome { findings: vec![finding], as_of: Some(target.changed_at), ..Outcome::done().on(target.id) }
}

/// A pretended repository holds whatever was ever written to it.
async fn forget(attempt: &Attempt<'_>, plan: &JobWithTargets, target: TargetId) -> Result<Outcome, Ended> {
    let retention = retention_of(plan)?;
    let known = Known::of(attempt, plan.job.id, target).await?;
    let there = known.points.iter().map(|point| point.snapshot.as_str()).collect();
    let points = forgettable(retention, &known.points, &known.named, &there);
    let points = points.iter().map(|point| point.id).collect();
    let forgotten = Some(Box::new(Forgotten { points, pruned: false }));
    Ok(Outcome { forgotten, ..Outcome::done().on(target) })
}

fn find<'a>(plan: &'a JobWithTargets, name: &TargetName) -> Result<&'a JobTarget, Ended> {
    plan.target(name).ok_or_else(|| refuse(format!("{name} is none of the job's targets")))
}

fn with_point(point: &RestorePoint) -> Outcome {
    Outcome {
        volume: point.volume,
        findings: vec![written(point)],
        restore_point: Some(Box::new(point.clone())),
        ..Outcome::done().on(point.target)
    }
}
