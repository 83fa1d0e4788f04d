//! Restores a restore point into a new directory below the worker's restore root.

use serde_json::json;
use shared::db;
use shared::db::execution::Volume;
use shared::db::restore_point::{RestorePoint, Wanted};
use shared::target::TargetName;
use shared::task::Ended;
use shared::work::RestoreParams;

use super::attempt::{Attempt, refuse, retry};
use super::repository::{self, unexpected};
use crate::engine::protocol::{Operation, OperationResult, Restore};
use crate::outcome::Outcome;
use shared::db::definition::JobWithTargets;

/// Restores the restore point that was named, or the newest that can be reached.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &RestoreParams,
) -> Result<Outcome, Ended> {
    let root = attempt.worker.restore_root.as_ref();
    let root = root.ok_or_else(|| refuse("this worker has no restore_root: it takes no restore tasks"))?;
    let (point, target) = choose(attempt, plan, params).await?;
    let opened = repository::open(attempt, &target).await?;
    let into = root.join(params.into.as_str());
    let restore =
        Restore { repository: opened.repository, snapshot: point.snapshot.clone(), into: into.clone() };
    let completed = attempt.engine(Operation::Restore(restore)).await?;
    let OperationResult::Restore(result) = completed.result else { return Err(unexpected()) };
    Ok(Outcome {
        volume: Volume { files: result.files, bytes: result.bytes, ..Volume::default() },
        detail: Some(json!({
            "into": into,
            "restore_point": point.id,
            "data_time": point.data_time,
            "target": target,
            "seconds": result.seconds,
        })),
        ..Outcome::done().on(opened.stored.id)
    })
}

async fn choose(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &RestoreParams,
) -> Result<(RestorePoint, TargetName), Ended> {
    let point = match (&params.restore_point, &params.target) {
        (Some(id), _) => attempt.point(plan.job.id, *id).await?,
        (None, Some(name)) => {
            let target =
                plan.target(name).ok_or_else(|| refuse(format!("{name} is none of the job's targets")))?;
            attempt.newest_point(plan.job.id, target.id, name).await?
        }
        (None, None) => {
            let client = attempt.worker.database.client().await.map_err(retry)?;
            let reachable =
                db::restore_point::reachable(&client, plan.job.id, Wanted::default()).await.map_err(retry)?;
            let newest = reachable.into_iter().next();
            newest.ok_or_else(|| refuse("no restore point of the job can be reached"))?
        }
    };
    let client = attempt.worker.database.client().await.map_err(retry)?;
    let target = db::restore_point::target_of(&client, point.id).await.map_err(retry)?;
    let target = target.ok_or_else(|| refuse("the restore point's target does not exist any more"))?;
    if params.target.as_ref().is_some_and(|wanted| *wanted != target) {
        return Err(refuse(format!("the restore point {} is on {target}", point.id)));
    }
    Ok((point, target))
}
