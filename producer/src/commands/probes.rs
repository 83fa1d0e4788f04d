//! Probes: tasks that make workers look at a target, one for each job with data there.

use anyhow::anyhow;
use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db::task::State;
use shared::db::{self, Database};
use shared::job::{JobId, JobName};
use shared::params::Params;
use shared::target::TargetName;
use shared::task::{Priority, Task, TaskId, TaskKind};
use shared::work::ProbeParams;
use tokio::time::Instant;

use super::progress::Progress;
use super::wait;
use crate::outbox;

/// A probe on its way.
pub(super) struct Probe {
    /// For which job.
    pub(super) job: JobName,
    /// Its number.
    pub(super) job_id: JobId,
    task: TaskId,
}

/// How a round of probes ended.
pub(super) enum Round {
    /// All of them succeeded.
    Succeeded,
    /// One will not succeed any more.
    Died(anyhow::Error),
    /// One was not finished in time.
    TimedOut,
}

/// Enqueues one probe for each job with restore points on the target. A job that is not active takes no tasks, and one that others back up no probes.
pub(super) async fn enqueue(
    transaction: &Transaction<'_>,
    target: &TargetName,
) -> Result<Vec<Probe>, db::Error> {
    let names = db::job::with_points_on(transaction, target).await?;
    let jobs = db::job::resolve(transaction, &names.iter().collect::<Vec<_>>()).await?;
    let probes: Vec<Probe> = jobs
        .into_iter()
        .filter(|(job, reference)| reference.takes(TaskKind::Probe, job).is_ok())
        .map(|(job, reference)| Probe { job, job_id: reference.id, task: TaskId::generate() })
        .collect();
    let now = db::now(transaction).await?;
    let params = Params::from(&json!(ProbeParams { target: target.clone() }));
    let task = |probe: &Probe| Task {
        id: probe.task,
        kind: TaskKind::Probe,
        // Somebody stands there and waits.
        priority: Priority::High,
        job: Some(probe.job_id),
        params: params.clone(),
        requested_by: super::enqueue::REQUESTED_BY.to_owned(),
        enqueued_at: now,
        trace: None,
    };
    outbox::put(transaction, probes.iter().map(task).collect(), now).await?;
    Ok(probes)
}

/// Waits until all probes succeeded, or until one cannot any more.
pub(super) async fn until_finished(
    database: &Database,
    probes: &[Probe],
    deadline: Instant,
    progress: &mut Progress,
) -> Result<Round, db::Error> {
    for Probe { job, task, .. } in probes {
        match wait::until_finished(database, *task, deadline, progress).await? {
            State::Succeeded => {}
            State::Dead { last_error } => {
                return Ok(Round::Died(anyhow!("the probe for job {job} died: {last_error}")));
            }
            State::Cancelled => {
                return Ok(Round::Died(anyhow!("the probe for job {job} was cancelled")));
            }
            State::Unknown => {
                return Ok(Round::Died(anyhow!("the probe for job {job} is not known any more")));
            }
            State::Queued { .. } | State::Running { .. } => return Ok(Round::TimedOut),
        }
    }
    Ok(Round::Succeeded)
}
