//! Backs up files and directories of this machine.

use std::path::PathBuf;

use serde_json::json;
use shared::db::execution::Volume;
use shared::db::manifest::Manifest;
use shared::db::restore_point::RestorePoint;
use shared::evidence::{Finding, PointFact};
use shared::job::{Hashes, SourceData};
use shared::task::Ended;
use shared::work::RestorePointId;
use uuid::Uuid;

use super::attempt::{Attempt, refuse, retry};
use super::repository::{self, unexpected};
use crate::engine::parent::{Completed, EngineError};
use crate::engine::protocol::{self, Backup, BackupResult, Operation, OperationResult};
use crate::outcome::Outcome;
use shared::db::definition::JobWithTargets;

/// Takes a backup to the job's first target.
pub(super) async fn run(attempt: &Attempt<'_>, plan: &JobWithTargets) -> Result<Outcome, Ended> {
    let job = &plan.job.job;
    let SourceData::Files { paths, exclude, hashes } = &job.source.data else {
        return Err(refuse("the job's source is not files"));
    };
    let target = job.primary().ok_or_else(|| refuse("the job has no target"))?;
    let opened = repository::open_or_create(attempt, target).await?;
    let scratch = tempfile::tempdir_in(&attempt.worker.scratch).map_err(retry)?;
    let manifest_out = scratch.path().join("manifest");
    let operation = Operation::Backup(Backup {
        repository: opened.repository,
        task: attempt.leased.task.id.to_string(),
        epoch: attempt.leased.epoch.0,
        job: job.name.to_string(),
        paths: paths.iter().map(PathBuf::from).collect(),
        exclude: exclude.clone(),
        hashes: match hashes {
            Hashes::Sample => protocol::Hashes::Sample,
            Hashes::All => protocol::Hashes::All,
        },
        manifest_out: manifest_out.clone(),
    });
    let started = std::time::Instant::now();
    let completed = match attempt.engine(operation).await {
        Err(EngineError::Source(error)) => {
            let detail = Some(json!({ "failed_at": "source" }));
            return Ok(Outcome { detail, ..Outcome::refused(error) });
        }
        completed => completed?,
    };
    let Completed { result: OperationResult::Backup(result), warnings } = completed else {
        return Err(unexpected());
    };
    let seconds = started.elapsed().as_secs_f64();
    let manifest = Manifest {
        id: Uuid::now_v7(),
        files: result.manifest.entries,
        bytes: result.manifest.bytes,
        sha256: result.manifest.sha256.clone(),
        content: tokio::fs::read(&manifest_out).await.map_err(retry)?,
    };
    let point = RestorePoint {
        id: RestorePointId(Uuid::now_v7()),
        job: plan.job.id,
        target: opened.stored.id,
        snapshot: result.snapshot.clone(),
        // The attempt began before the first file was looked at, and its time is the database's.
        data_time: attempt.leased.started_at,
        seconds,
        volume: volume(&result),
        copied_from: None,
        manifest: Some(manifest.id),
        task: attempt.leased.task.id,
        reported: false,
    };
    let warnings: Vec<_> = warnings.first.iter().map(|warning| json!(warning)).collect();
    Ok(Outcome {
        ended: Ended::Done { warning: result.source_errors.count > 0 },
        volume: point.volume,
        detail: Some(json!({
            "snapshot": result.snapshot,
            "source_errors": result.source_errors.first,
            "vanished": result.vanished,
            "changed": result.changed,
            "warnings": warnings,
        })),
        findings: vec![written(&point)],
        restore_point: Some(Box::new(point)),
        manifest: Some(Box::new(manifest)),
        ..Outcome::done().on(opened.stored.id)
    })
}

fn volume(result: &BackupResult) -> Volume {
    Volume {
        files: result.files,
        bytes: result.bytes,
        bytes_added: result.bytes_added,
        source_errors: result.source_errors.count,
    }
}

/// The evidence of a restore point that was just written.
pub(super) fn written(point: &RestorePoint) -> Finding {
    Finding::RestorePoint(PointFact {
        restore_point: point.id,
        data_time: point.data_time,
        source_errors: point.volume.source_errors,
    })
}
