//! Copies a restore point to another target, from repository to repository.

use serde_json::json;
use shared::db::execution::Volume;
use shared::db::restore_point::RestorePoint;
use shared::task::Ended;
use shared::work::{CopyParams, RestorePointId};
use uuid::Uuid;

use super::attempt::{Attempt, refuse};
use super::files::written;
use super::repository::{self, unexpected};
use crate::engine::protocol::{Copy, Operation, OperationResult};
use crate::outcome::Outcome;
use shared::db::definition::JobWithTargets;

/// Copies one restore point.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &CopyParams,
) -> Result<Outcome, Ended> {
    let original = attempt.point(plan.job.id, params.restore_point).await?;
    let from = plan.targets.iter().find(|target| target.id == original.target);
    let from = from.ok_or_else(|| refuse("the restore point's target is none of the job's any more"))?;
    let from = repository::open(attempt, &from.target.name).await?;
    let to = repository::open_or_create(attempt, &params.target).await?;
    let started = std::time::Instant::now();
    let operation = Operation::Copy(Copy {
        from: from.repository,
        to: to.repository,
        snapshot: original.snapshot.clone(),
    });
    let OperationResult::Copy(result) = attempt.engine(operation).await?.result else {
        return Err(unexpected());
    };
    let point = RestorePoint {
        id: RestorePointId(Uuid::now_v7()),
        target: to.stored.id,
        snapshot: result.snapshot.clone(),
        seconds: started.elapsed().as_secs_f64(),
        volume: Volume { bytes_added: result.bytes_added, ..original.volume },
        copied_from: Some(original.id),
        task: attempt.leased.task.id,
        ..original
    };
    Ok(Outcome {
        volume: point.volume,
        detail: Some(json!({ "snapshot": result.snapshot, "already_there": result.already_there })),
        findings: vec![written(&point)],
        restore_point: Some(Box::new(point)),
        ..Outcome::done().on(to.stored.id)
    })
}
