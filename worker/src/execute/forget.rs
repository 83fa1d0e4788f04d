//! Applies a job's retention on one target: forgets what it does not keep, and prunes the repository.
//!
//! Nobody else uses the repository from before the decision until it is recorded. What was removed from it counts as forgotten
//! whatever came of the attempt after that: the next one finds it gone.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use shared::db;
use shared::db::definition::JobWithTargets;
use shared::db::restore_point::RestorePoint;
use shared::evidence::Finding;
use shared::job::JobId;
use shared::retention::Retention;
use shared::target::TargetId;
use shared::task::{Ended, TaskKind};
use shared::work::{ForgetParams, RestorePointId};

use super::attempt::{Attempt, refuse, retry};
use super::repository::{self, Opened, unexpected};
use crate::engine::protocol::{Forget, List, ListResult, Named, Operation, OperationResult, PruneResult};
use crate::outcome::{Forgotten, Outcome};
use crate::retention::forgettable;

/// A prune reads all trees of a repository and keeps everybody else away from it, and what it marks is held for 23 hours: jobs
/// that share a repository prune it once a day. Four hours are for a day's task that begins earlier than that of the day before.
const PRUNE_EVERY: Duration = Duration::from_hours(20);

/// Forgets what the job's retention does not keep on a target.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &ForgetParams,
) -> Result<Outcome, Ended> {
    let retention = retention_of(plan)?;
    let opened = repository::open_alone(attempt, &params.target).await?;
    let target = opened.stored.id;
    let known = Known::of(attempt, plan.job.id, target).await?;
    let Some(newest) = known.points.first() else {
        return Ok(Outcome::done().on(target));
    };
    let listed = list(attempt, plan, &opened).await?;
    let there: BTreeSet<&str> = listed.snapshots.iter().map(|snapshot| snapshot.id.as_str()).collect();
    let choice = Choice::make(retention, &known, &there);

    let mut forgotten =
        Box::new(Forgotten { points: choice.gone.iter().map(|point| point.id).collect(), pruned: false });
    let done = carry_out(attempt, plan, &opened, &choice, &mut forgotten).await;
    let (ended, pruned) = match done {
        // Somebody else has removed what should be there.
        Ok(pruned) => (Ended::Done { warning: choice.missing.count > 0 }, pruned),
        Err(ended) => (ended, None),
    };
    Ok(Outcome {
        ended,
        detail: Some(choice.detail(&known, &forgotten, pruned.as_ref())),
        findings: vec![Finding::Listing { present: there.contains(newest.snapshot.as_str()) }],
        as_of: Some(opened.stored.changed_at),
        forgotten: Some(forgotten),
        ..Outcome::done().on(target)
    })
}

/// What a job's retention is.
pub(super) fn retention_of(plan: &JobWithTargets) -> Result<&Retention, Ended> {
    let retention = plan.job.job.retention.as_ref();
    retention.ok_or_else(|| refuse("the job has no retention: it keeps all its restore points"))
}

/// What the database knows of a job's restore points on a target.
pub(super) struct Known {
    /// Those that were not forgotten, the newest first.
    pub(super) points: Vec<RestorePoint>,
    /// Those that a task needs which waits or runs.
    pub(super) named: BTreeSet<RestorePointId>,
}

impl Known {
    pub(super) async fn of(attempt: &Attempt<'_>, job: JobId, target: TargetId) -> Result<Self, Ended> {
        let read = async {
            let client = attempt.worker.database.client().await?;
            let points = db::restore_point::of(&client, job, target).await?;
            let kinds = [TaskKind::Copy, TaskKind::Restore];
            let named = db::restore_point::named_by_tasks(&client, job, &kinds).await?;
            Ok::<_, db::Error>(Self { points, named })
        };
        read.await.map_err(retry)
    }
}

async fn list(attempt: &Attempt<'_>, plan: &JobWithTargets, opened: &Opened) -> Result<ListResult, Ended> {
    let list = List { repository: opened.repository.clone(), job: plan.job.job.name.to_string() };
    let OperationResult::List(listed) = attempt.engine(Operation::List(list)).await?.result else {
        return Err(unexpected());
    };
    if listed.unreadable.count > 0 {
        let (count, first) = (listed.unreadable.count, listed.unreadable.first.join("; "));
        return Err(refuse(format!("nothing is forgotten where {count} snapshots cannot be read: {first}")));
    }
    Ok(listed)
}

/// What is to become of the restore points.
struct Choice<'a> {
    /// They are to be removed.
    leave: Vec<&'a RestorePoint>,
    /// They were removed already, by an attempt that could not say so or by somebody else.
    gone: Vec<&'a RestorePoint>,
    /// They are to be kept, and are not there.
    missing: Named,
    /// Snapshots of the job that no restore point is.
    unknown: usize,
}

impl<'a> Choice<'a> {
    fn make(retention: &Retention, known: &'a Known, there: &BTreeSet<&str>) -> Self {
        let is_there = |point: &RestorePoint| there.contains(point.snapshot.as_str());
        let forgettable = forgettable(retention, &known.points, &known.named, there);
        let chosen: BTreeSet<RestorePointId> = forgettable.iter().map(|point| point.id).collect();
        let (leave, gone) = forgettable.into_iter().partition(|point| is_there(point));
        let mut missing = Named::default();
        for point in known.points.iter().filter(|point| !chosen.contains(&point.id) && !is_there(point)) {
            missing.push(point.id.to_string());
        }
        let snapshots: BTreeSet<&str> = known.points.iter().map(|point| point.snapshot.as_str()).collect();
        let unknown = there.difference(&snapshots).count();
        Self { leave, gone, missing, unknown }
    }

    fn detail(&self, known: &Known, forgotten: &Forgotten, pruned: Option<&PruneResult>) -> Value {
        let named = known.points.iter().filter(|point| known.named.contains(&point.id)).count();
        json!({
            "forgotten": forgotten.points.len(),
            "kept": known.points.len() - forgotten.points.len(),
            "gone_already": self.gone.len(),
            "needed_by_tasks": named,
            "missing": self.missing,
            "unknown_snapshots": self.unknown,
            "prune": pruned,
        })
    }
}

/// Removes what is to leave, and prunes when that is due; says in `forgotten` what is done, also when the rest fails.
async fn carry_out(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    opened: &Opened,
    choice: &Choice<'_>,
    forgotten: &mut Forgotten,
) -> Result<Option<PruneResult>, Ended> {
    for some in choice.leave.chunks(Forget::LIMIT) {
        let forget = Forget {
            repository: opened.repository.clone(),
            job: plan.job.job.name.to_string(),
            snapshots: some.iter().map(|point| point.snapshot.clone()).collect(),
        };
        let OperationResult::Forget(_) = attempt.engine(Operation::Forget(forget)).await?.result else {
            return Err(unexpected());
        };
        forgotten.points.extend(some.iter().map(|point| point.id));
    }
    let client = attempt.worker.database.client().await.map_err(retry)?;
    let is_due = db::target::is_prune_due(&client, opened.stored.id, PRUNE_EVERY).await.map_err(retry)?;
    drop(client);
    if !is_due {
        return Ok(None);
    }
    let prune = Operation::Prune { repository: opened.repository.clone() };
    let OperationResult::Prune(pruned) = attempt.engine(prune).await?.result else {
        return Err(unexpected());
    };
    forgotten.pruned = true;
    Ok(Some(pruned))
}
