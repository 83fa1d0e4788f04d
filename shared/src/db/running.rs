//! What runs, as people see it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde_json::Value;

use super::Error;
use super::statement::statement;
use super::task::Which;
use crate::job::JobId;
use crate::params::Params;
use crate::task::{TaskId, TaskKind};

/// A running task as people see it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Running {
    /// Which task.
    pub task: TaskId,
    /// Its kind.
    pub kind: String,
    /// Its job's name.
    pub job: Option<String>,
    /// The target it names, if any.
    pub target: Option<String>,
    /// The number of the attempt.
    pub attempt: i32,
    /// The worker's name.
    pub worker: Option<String>,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// What the executor reported last.
    pub progress: Option<Value>,
    /// Who asked for its end, if somebody did.
    pub cancelled_by: Option<String>,
}

/// What runs now, the oldest first, at most `limit`.
pub async fn oldest<C: GenericClient>(client: &C, limit: i64) -> Result<Vec<Running>, Error> {
    let statement = statement!(
        "running.oldest",
        "select l.task_id, l.kind, j.name as job, l.params ->> 'target' as target, l.attempt, \
             w.name as worker, l.started_at, l.progress, l.cancelled_by
         from lease l left join job j on j.id = l.job_id left join worker w on w.id = l.worker_id
         order by l.started_at, l.task_id limit $1"
    );
    let rows = statement.query(client, &[&limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Running {
                task: TaskId(row.try_get("task_id")?),
                kind: row.try_get("kind")?,
                job: row.try_get("job")?,
                target: row.try_get("target")?,
                attempt: row.try_get("attempt")?,
                worker: row.try_get("worker")?,
                started_at: row.try_get("started_at")?,
                progress: row.try_get("progress")?,
                cancelled_by: row.try_get("cancelled_by")?,
            })
        })
        .collect()
}

/// A running task with all that is known about it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Held {
    /// Which task.
    pub id: TaskId,
    /// Its kind; perhaps one that only a newer version knows.
    pub kind: String,
    /// Its queue.
    pub priority: String,
    /// Its job's name.
    pub job: Option<String>,
    /// What it needs beside the job.
    pub params: Params,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub enqueued_at: DateTime<Utc>,
    /// The number of the attempt.
    pub attempt: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
    /// The worker's name; its id when the worker has not shown itself.
    pub worker: String,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// Until when its worker may go without a word.
    pub lease_until: DateTime<Utc>,
    /// What the executor reported last.
    pub progress: Option<Value>,
    /// Who asked for its end, if somebody did.
    pub cancelled_by: Option<String>,
}

/// What runs, the oldest attempt first, at most `limit`.
pub async fn list<C: GenericClient>(client: &C, which: &Which, limit: i64) -> Result<Vec<Held>, Error> {
    let statement = statement!(
        "running.list",
        "select l.task_id, l.kind, l.priority, j.name as job, l.params, l.requested_by, l.enqueued_at, \
             l.attempt, l.rescues, coalesce(w.name, l.worker_id::text) as worker, l.started_at, l.lease_until, \
             l.progress, l.cancelled_by
         from lease l left join job j on j.id = l.job_id left join worker w on w.id = l.worker_id
         where ($1::uuid is null or l.task_id = $1) and ($2::text is null or l.kind = $2)
             and ($3::text is null or j.name = $3)
         order by l.started_at, l.task_id limit $4"
    );
    let (id, kind, job) = which.columns();
    let rows = statement.query(client, &[&id, &kind, &job, &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Held {
                id: TaskId(row.try_get("task_id")?),
                kind: row.try_get("kind")?,
                priority: row.try_get("priority")?,
                job: row.try_get("job")?,
                params: row.try_get("params")?,
                requested_by: row.try_get("requested_by")?,
                enqueued_at: row.try_get("enqueued_at")?,
                attempt: row.try_get("attempt")?,
                rescues: row.try_get("rescues")?,
                worker: row.try_get("worker")?,
                started_at: row.try_get("started_at")?,
                lease_until: row.try_get("lease_until")?,
                progress: row.try_get("progress")?,
                cancelled_by: row.try_get("cancelled_by")?,
            })
        })
        .collect()
}

/// How many tasks of each kind run.
pub async fn count<C: GenericClient>(client: &C) -> Result<Vec<(String, i64)>, Error> {
    let statement =
        statement!("running.count", "select kind, count(*) from lease group by kind order by kind");
    let rows = statement.query(client, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How many tasks of a kind run, on all workers or on one that has shown itself.
pub async fn count_of<C: GenericClient>(
    client: &C,
    kind: TaskKind,
    worker: Option<&str>,
) -> Result<i64, Error> {
    let statement = statement!(
        "running.count_of",
        "select count(*) from lease l where kind = $1 and ($2::text is null or exists (
             select from worker w where w.id = l.worker_id and w.name = $2))"
    );
    Ok(statement.query_one(client, &[&kind.as_str(), &worker]).await?.try_get(0)?)
}

/// A task that runs and does not get on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Which task.
    pub task: TaskId,
    /// Its kind; perhaps one that only a newer version knows.
    pub kind: String,
    /// Its job.
    pub job: Option<JobId>,
    /// The worker's name; its id when the worker has not shown itself.
    pub worker: String,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// When its progress was new for the last time: at the beginning if it never said anything.
    pub progressed_at: DateTime<Utc>,
}

/// The tasks that have run without progress for longer than `after`, the oldest first, at most `limit`.
pub async fn stuck<C: GenericClient>(client: &C, after: Duration, limit: i64) -> Result<Vec<Stuck>, Error> {
    let statement = statement!(
        "running.stuck",
        "select l.task_id, l.kind, l.job_id, coalesce(w.name, l.worker_id::text) as worker, l.started_at,
             coalesce(l.progressed_at, l.started_at) as progressed_at
         from lease l left join worker w on w.id = l.worker_id
         where l.started_at < now() - make_interval(secs => $1)
             and coalesce(l.progressed_at, l.started_at) < now() - make_interval(secs => $1)
         order by progressed_at, l.task_id limit $2"
    );
    let rows = statement.query(client, &[&after.as_secs_f64(), &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Stuck {
                task: TaskId(row.try_get("task_id")?),
                kind: row.try_get("kind")?,
                job: row.try_get::<_, Option<i32>>("job_id")?.map(JobId),
                worker: row.try_get("worker")?,
                started_at: row.try_get("started_at")?,
                progressed_at: row.try_get("progressed_at")?,
            })
        })
        .collect()
}
