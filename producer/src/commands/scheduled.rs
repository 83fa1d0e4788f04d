//! What jobs' definitions have enqueued by themselves.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db;
use shared::db::schedule::{self, Defined};
use shared::job::{Job, JobId};
use shared::params::Params;
use shared::schedule::Schedule;
use shared::task::TaskKind;
use shared::work::ForgetParams;

/// One schedule of a job.
struct Scheduled<'j> {
    kind: TaskKind,
    name: String,
    job: JobId,
    params: Params,
    spec: &'j Schedule,
}

/// Has the tasks of some jobs enqueued when their definitions say, from now on, and no others.
pub(super) async fn set(transaction: &Transaction<'_>, jobs: &[(JobId, &Job)]) -> Result<(), db::Error> {
    let scheduled: Vec<Scheduled<'_>> = jobs.iter().flat_map(|(id, job)| of(*id, job)).collect();
    let ids: Vec<JobId> = jobs.iter().map(|(id, _)| *id).collect();
    let names: Vec<_> = scheduled.iter().map(|scheduled| (scheduled.kind, scheduled.name.as_str())).collect();
    schedule::retain(transaction, &ids, &names).await?;
    let now = db::now(transaction).await?;
    for Scheduled { kind, name, job, params, spec } in &scheduled {
        let defined = Defined { kind: *kind, name, job: Some(*job), params, spec };
        schedule::upsert(transaction, &defined, now).await?;
    }
    Ok(())
}

/// What one job's definition says.
fn of(id: JobId, job: &Job) -> Vec<Scheduled<'_>> {
    let mut scheduled = Vec::new();
    if let Some(spec) = &job.schedule {
        let (name, params) = (job.name.to_string(), Params::from(&json!({})));
        scheduled.push(Scheduled { kind: TaskKind::Backup, name, job: id, params, spec });
    }
    if let Some(spec) = job.retention.as_ref().and_then(|retention| retention.schedule.as_ref()) {
        scheduled.extend(job.targets.iter().map(|target| Scheduled {
            kind: TaskKind::Forget,
            name: format!("{}/{target}", job.name),
            job: id,
            params: Params::from(&json!(ForgetParams { target: target.clone() })),
            spec,
        }));
    }
    scheduled
}
