//! Checks the newest restore point of a job on a target, at one of three levels.

use serde_json::json;
use shared::db;
use shared::db::execution::Volume;
use shared::db::restore_point::RestorePoint;
use shared::evidence::{Check, Finding};
use shared::task::Ended;
use shared::work::{Level, VerifyParams};
use tempfile::TempDir;

use super::attempt::{Attempt, refuse, retry};
use super::repository::{self, unexpected};
use crate::engine::protocol::{self, Operation, OperationResult, Verify, VerifyResult};
use crate::outcome::Outcome;
use shared::db::definition::JobWithTargets;

/// Checks one copy. What was found wrong is evidence, and a failure that another attempt would only repeat.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &VerifyParams,
) -> Result<Outcome, Ended> {
    let opened = repository::open(attempt, &params.target).await?;
    let point = attempt.newest_point(plan.job.id, opened.stored.id, &params.target).await?;
    let scratch = tempfile::tempdir_in(&attempt.worker.scratch).map_err(retry)?;
    let level = level(attempt, params.level, &point, &scratch).await?;
    let verify = Verify { repository: opened.repository, snapshot: point.snapshot.clone(), level };
    let completed = attempt.engine(Operation::Verify(verify)).await?;
    let OperationResult::Verify(result) = completed.result else { return Err(unexpected()) };
    // PostgreSQL's JSON cannot hold a zero character.
    let detail = differences(&result).replace('\0', "\u{fffd}");
    let ended = if result.passed {
        Ended::Done { warning: false }
    } else {
        refuse(format!("{} verification failed: {detail}", params.level))
    };
    Ok(Outcome {
        ended,
        volume: Volume { files: result.files, bytes: result.bytes, ..Volume::default() },
        detail: Some(json!({
            "level": params.level,
            "restore_point": point.id,
            "passed": result.passed,
            "hashed_files": result.hashed_files,
            "bytes_read": result.bytes_read,
            "differences": result.differences,
        })),
        findings: findings(params.level, &point, &result, detail),
        ..Outcome::done().on(opened.stored.id)
    })
}

async fn level(
    attempt: &Attempt<'_>,
    level: Level,
    point: &RestorePoint,
    scratch: &TempDir,
) -> Result<protocol::Level, Ended> {
    Ok(match level {
        Level::Structure => protocol::Level::Structure,
        Level::Read => protocol::Level::Read,
        Level::Restore => {
            let client = attempt.worker.database.client().await.map_err(retry)?;
            let content = db::manifest::content_for(&client, point.id).await.map_err(retry)?;
            let content = content.ok_or_else(|| refuse("the restore point has no source manifest"))?;
            let manifest = scratch.path().join("manifest");
            tokio::fs::write(&manifest, content).await.map_err(retry)?;
            protocol::Level::Restore { manifest, scratch: scratch.path().to_owned() }
        }
    })
}

fn differences(result: &VerifyResult) -> String {
    let more = result.differences.count.saturating_sub(3);
    let mut named = result.differences.first.iter().take(3).cloned().collect::<Vec<_>>();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join("; ")
}

fn findings(level: Level, point: &RestorePoint, result: &VerifyResult, detail: String) -> Vec<Finding> {
    let passed = result.passed;
    let check = Check { restore_point: point.id, passed, seconds: result.seconds, detail };
    match level {
        // To check its structure the repository was listed, and the snapshot read from it.
        Level::Structure if passed => vec![Finding::Structure(check), Finding::Listing { present: true }],
        Level::Structure => vec![Finding::Structure(check)],
        Level::Read => vec![Finding::Read(check)],
        Level::Restore => vec![Finding::RestoreTest(check)],
    }
}
