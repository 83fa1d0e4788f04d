//! Notes what another system did: its word for an attempt of its own and, unless that failed, for a restore point.

use serde_json::json;
use shared::db::definition::JobWithTargets;
use shared::db::execution::Volume;
use shared::db::restore_point::RestorePoint;
use shared::evidence::{Finding, PointFact};
use shared::target::TargetId;
use shared::task::Ended;
use shared::work::{RecordParams, Reported, RestorePointId};
use uuid::Uuid;

use super::attempt::{Attempt, refuse};
use crate::outcome::Outcome;

/// Notes one report.
pub(super) fn run(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &RecordParams,
) -> Result<Outcome, Ended> {
    let RecordParams { target, outcome, started_at, finished_at, snapshot, error, .. } = params;
    let known = plan.target(target);
    let known =
        known.ok_or_else(|| refuse(format!("params: target: {target} is none of the job's targets")))?;
    let seconds = (*finished_at - *started_at).as_seconds_f64();
    let point = (*outcome != Reported::Failed).then(|| point(attempt, plan, params, known.id, seconds));
    Ok(Outcome {
        ended: Ended::Noted { reported: *outcome, error: error.clone() },
        volume: volume(params),
        // The execution has the time that the note took, which is what its pool is measured by.
        detail: Some(json!({
            "reported": { "started_at": started_at, "finished_at": finished_at, "seconds": seconds, "snapshot": snapshot },
        })),
        findings: point.iter().map(declared).collect(),
        restore_point: point.map(Box::new),
        ..Outcome::done().on(known.id)
    })
}

fn volume(params: &RecordParams) -> Volume {
    let RecordParams { files, bytes, outcome, .. } = params;
    // A warning says that there are some, not how many.
    let source_errors = u64::from(*outcome == Reported::Warning);
    Volume { files: *files, bytes: *bytes, bytes_added: 0, source_errors }
}

fn point(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &RecordParams,
    target: TargetId,
    seconds: f64,
) -> RestorePoint {
    RestorePoint {
        id: RestorePointId(Uuid::now_v7()),
        job: plan.job.id,
        target,
        snapshot: params.snapshot.clone().unwrap_or_default(),
        // A clock that is ahead makes no data younger than the report of it.
        data_time: params.started_at.min(attempt.leased.started_at),
        seconds,
        volume: volume(params),
        copied_from: None,
        manifest: None,
        task: attempt.leased.task.id,
        reported: true,
    }
}

fn declared(point: &RestorePoint) -> Finding {
    Finding::Reported(PointFact {
        restore_point: point.id,
        data_time: point.data_time,
        source_errors: point.volume.source_errors,
    })
}
