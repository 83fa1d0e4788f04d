//! Table `lease`: what runs. From its claim on a lease with an epoch protects a task, on the database's clock.
//!
//! This table and `task` are empty at one moment and hold many rows at the next, and a plan that was made for the first
//! is kept. So statements that take many rows find them by `= any(..)` and look pairs up `is true`: a join with the empty
//! table may be planned as a comparison of each with each, which takes seconds for a thousand rows.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::bulk::Bulk;
use super::cap::{self, Counts};
use super::task::Which;
use super::{Error, parsed, prepared};
use crate::job::JobId;
use crate::params::Params;
use crate::task::{Epoch, Task, TaskId, TaskKind, WorkerId};

/// A task that its worker owns until the lease ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    /// The task.
    pub task: Task,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// When the attempt began, on the database's clock.
    pub started_at: DateTime<Utc>,
    /// Who asked for its end, if somebody did.
    pub cancelled_by: Option<String>,
}

/// Takes tasks that were never seen before; `ids` must have been fresh in this transaction.
pub async fn insert_fresh(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    lease: Duration,
    tasks: Vec<Task>,
) -> Result<Vec<Leased>, Error> {
    // The transaction's own time, as `now()` gives it to every other statement.
    let now = transaction.query_one(&prepared(transaction, "select now()").await?, &[]).await?;
    let started_at: DateTime<Utc> = now.try_get(0)?;
    let first =
        |task: Task| Leased { task, attempt: 1, rescues: 0, epoch: Epoch(1), started_at, cancelled_by: None };
    let leased: Vec<Leased> = tasks.into_iter().map(first).collect();
    let columns = [
        ("task_id", Type::UUID),
        ("kind", Type::TEXT),
        ("priority", Type::TEXT),
        ("job_id", Type::INT4),
        ("params", Type::JSON),
        ("requested_by", Type::TEXT),
        ("enqueued_at", Type::TIMESTAMPTZ),
        ("attempt", Type::INT4),
        ("rescues", Type::INT4),
        ("epoch", Type::INT8),
        ("worker_id", Type::UUID),
        ("started_at", Type::TIMESTAMPTZ),
        ("lease_until", Type::TIMESTAMPTZ),
    ];
    let mut rows = Bulk::begin(transaction, "lease", &columns).await?;
    for Leased { task, attempt, rescues, epoch, .. } in &leased {
        rows.row(&[
            &task.id.0,
            &task.kind.as_str(),
            &task.priority.as_str(),
            &task.job.map(|job| job.0),
            &task.params,
            &task.requested_by,
            &task.enqueued_at,
            attempt,
            rescues,
            &epoch.0,
            &worker.0,
            &started_at,
            &(started_at + lease),
        ])
        .await?;
    }
    rows.finish().await?;
    Ok(leased)
}

/// Takes waiting tasks whose time has come; others among `ids` are left where they are.
pub async fn take_waiting(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    lease: Duration,
    ids: &[TaskId],
) -> Result<Vec<Leased>, Error> {
    take(transaction, worker, lease, ids, "run_at <= now()").await
}

/// Takes tasks that were called from a line in this transaction.
pub async fn take_called(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    lease: Duration,
    ids: &[TaskId],
) -> Result<Vec<Leased>, Error> {
    take(transaction, worker, lease, ids, "true").await
}

async fn take(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    lease: Duration,
    ids: &[TaskId],
    condition: &str,
) -> Result<Vec<Leased>, Error> {
    let statement = format!(
        "with due as (select id from task where id = any($1) and {condition} order by id for update),
         moved as (delete from task where id = any(array(select id from due)) returning *)
         insert into lease (task_id, kind, priority, job_id, params, requested_by, enqueued_at, attempt, rescues, \
             epoch, worker_id, lease_until)
         select id, kind, priority, job_id, params, requested_by, enqueued_at, attempt + 1, rescues, epoch + 1, $2, \
             now() + make_interval(secs => $3)
         from moved returning *"
    );
    let statement = prepared(transaction, &statement).await?;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = transaction.query(&statement, &[&ids, &worker.0, &lease.as_secs_f64()]).await?;
    rows.iter().map(leased).collect()
}

/// Counts tasks that were taken in this transaction under the caps of their keys, which it has locked.
pub async fn count(transaction: &Transaction<'_>, tasks: &[(TaskId, Vec<String>)]) -> Result<(), Error> {
    // No key holds a line break.
    let statement = "update lease l set caps = string_to_array(c.caps, chr(10))
         from unnest($1::uuid[], $2::text[]) as c(id, caps) where l.task_id = any($1) and (l.task_id = c.id) is true";
    let statement = prepared(transaction, statement).await?;
    let (ids, caps): (Vec<Uuid>, Vec<String>) =
        tasks.iter().map(|(task, caps)| (task.0, caps.join("\n"))).unzip();
    transaction.execute(&statement, &[&ids, &caps]).await?;
    cap::begin(transaction, &counts(tasks.iter().flat_map(|(_, caps)| caps))).await
}

fn counts<'a>(keys: impl Iterator<Item = &'a String>) -> Counts {
    let mut counts = Counts::new();
    for key in keys {
        *counts.entry(key.clone()).or_default() += 1;
    }
    counts
}

/// Extends leases of a worker that it does not know of, because it did not hear of the commit that gave them, and
/// returns them. A task that was just taken in this transaction is among `ids` only if it has no such lease.
pub async fn adopt(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    lease: Duration,
    ids: &[TaskId],
) -> Result<Vec<Leased>, Error> {
    // What this transaction wrote has its time.
    let statement = "with mine as (
             select task_id from lease where task_id = any($1) and worker_id = $2 and lease_until > now()
                 and started_at < now() order by task_id for update)
         update lease l set lease_until = now() + make_interval(secs => $3)
         from mine where l.task_id = mine.task_id returning l.*";
    let statement = prepared(transaction, statement).await?;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = transaction.query(&statement, &[&ids, &worker.0, &lease.as_secs_f64()]).await?;
    rows.iter().map(leased).collect()
}

/// A lease that its owner holds still.
pub async fn owned<C: GenericClient>(
    client: &C,
    worker: WorkerId,
    task: TaskId,
    epoch: Epoch,
) -> Result<Option<Leased>, Error> {
    let statement =
        "select * from lease where task_id = $1 and epoch = $2 and worker_id = $3 and lease_until > now()";
    let statement = prepared(client, statement).await?;
    client.query_opt(&statement, &[&task.0, &epoch.0, &worker.0]).await?.as_ref().map(leased).transpose()
}

/// Extends the leases of a worker, and the repository locks of their tasks; returns the tasks that are still its
/// own. A lease that has expired is not extended: its owner has ended the work already.
pub async fn heartbeat<C: GenericClient>(
    client: &C,
    worker: WorkerId,
    lease: Duration,
    held: &[(TaskId, Epoch)],
) -> Result<Vec<(TaskId, Epoch)>, Error> {
    let statement = "with mine as (
             select task_id from lease
             where task_id = any($1) and ((task_id, epoch) in (select * from unnest($1::uuid[], $2::bigint[]))) is true
                 and worker_id = $3 and lease_until > now() order by task_id for update),
         extended as (
             update lease set lease_until = now() + make_interval(secs => $4)
             where task_id = any(array(select task_id from mine)) returning task_id, epoch),
         locks as (
             update repository_lock r set expires_at = now() + make_interval(secs => $4)
             from extended e where r.task_id = e.task_id and r.epoch = e.epoch)
         select task_id, epoch from extended";
    let statement = prepared(client, statement).await?;
    let (ids, epochs) = owners(held);
    let rows = client.query(&statement, &[&ids, &epochs, &worker.0, &lease.as_secs_f64()]).await?;
    rows.iter().map(|row| Ok((TaskId(row.try_get(0)?), Epoch(row.try_get(1)?)))).collect()
}

fn owners(owners: &[(TaskId, Epoch)]) -> (Vec<Uuid>, Vec<i64>) {
    owners.iter().map(|(task, epoch)| (task.0, epoch.0)).unzip()
}

/// How far a running task is.
#[derive(Debug, Clone)]
pub struct Moved {
    /// Which task.
    pub task: TaskId,
    /// As which owner.
    pub epoch: Epoch,
    /// What the executor reported last.
    pub progress: Value,
}

/// A running task whose end a person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Which task.
    pub task: TaskId,
    /// As which owner.
    pub epoch: Epoch,
    /// Who asked.
    pub by: String,
}

/// Stores how far a worker's tasks are, those that moved, and returns those of its tasks whose end was asked for.
pub async fn control<C: GenericClient>(
    client: &C,
    worker: WorkerId,
    moved: &[Moved],
) -> Result<Vec<CancelRequest>, Error> {
    if !moved.is_empty() {
        let statement = "with moved as (
                 select l.task_id, m.progress from lease l
                 join unnest($1::uuid[], $2::bigint[], $3::jsonb[]) as m(task_id, epoch, progress)
                     on m.task_id = l.task_id and m.epoch = l.epoch
                 where l.worker_id = $4 order by l.task_id for update of l)
             update lease l set progress = moved.progress from moved where l.task_id = moved.task_id";
        let statement = prepared(client, statement).await?;
        let ids: Vec<Uuid> = moved.iter().map(|moved| moved.task.0).collect();
        let epochs: Vec<i64> = moved.iter().map(|moved| moved.epoch.0).collect();
        let progress: Vec<&Value> = moved.iter().map(|moved| &moved.progress).collect();
        client.execute(&statement, &[&ids, &epochs, &progress, &worker.0]).await?;
    }
    let statement = "select task_id, epoch, cancelled_by from lease
         where worker_id = $1 and cancelled_by is not null";
    let statement = prepared(client, statement).await?;
    let rows = client.query(&statement, &[&worker.0]).await?;
    rows.iter()
        .map(|row| {
            Ok(CancelRequest {
                task: TaskId(row.try_get("task_id")?),
                epoch: Epoch(row.try_get("epoch")?),
                by: row.try_get("cancelled_by")?,
            })
        })
        .collect()
}

/// Asks for the end of a running task; `false` if it does not run. Its worker sees it within seconds.
pub async fn cancel<C: GenericClient>(client: &C, task: TaskId, by: &str) -> Result<bool, Error> {
    let statement = "update lease set cancelled_by = coalesce(cancelled_by, $2) where task_id = $1";
    let statement = prepared(client, statement).await?;
    Ok(client.execute(&statement, &[&task.0, &by]).await? == 1)
}

/// A lease that was its owner's to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Which task.
    pub task: TaskId,
    /// As which owner.
    pub epoch: Epoch,
    /// Who asked for the end, if somebody did.
    pub cancelled_by: Option<String>,
    /// The caps that it was counted under.
    pub caps: Vec<String>,
}

/// Ends leases: each that comes back was still its owner's, and its results may be written in this transaction.
/// Whoever is missing was fenced. Their caps are to be freed at the end of the transaction: see [`free`].
pub async fn complete(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    ended: &[(TaskId, Epoch)],
) -> Result<Vec<Completed>, Error> {
    // Each statement locks in the order of the ids, as all do who lock several; two epochs in one batch may meet a
    // heartbeat in a deadlock, after which the batch is recorded again.
    let statement = "delete from lease where task_id = any($1) and epoch = $2 and worker_id = $3
         returning task_id, cancelled_by, caps";
    let statement = prepared(transaction, statement).await?;
    let mut completed = Vec::with_capacity(ended.len());
    for (epoch, ids) in by_epoch(ended) {
        let rows = transaction.query(&statement, &[&ids, &epoch.0, &worker.0]).await?;
        for row in rows {
            let caps: Option<Vec<String>> = row.try_get("caps")?;
            completed.push(Completed {
                task: TaskId(row.try_get("task_id")?),
                epoch,
                cancelled_by: row.try_get("cancelled_by")?,
                caps: caps.unwrap_or_default(),
            });
        }
    }
    let ids: Vec<Uuid> = completed.iter().map(|completed| completed.task.0).collect();
    let statement = prepared(transaction, "delete from repository_lock where task_id = any($1)").await?;
    transaction.execute(&statement, &[&ids]).await?;
    Ok(completed)
}

/// Frees the caps of leases that were completed in this transaction, and says which. It comes last, because others wait for
/// the same caps.
pub async fn free<'a>(
    transaction: &Transaction<'_>,
    completed: impl Iterator<Item = &'a Completed>,
) -> Result<Counts, Error> {
    let freed = counts(completed.flat_map(|completed| &completed.caps));
    cap::end(transaction, &freed).await?;
    Ok(freed)
}

/// Nearly all tasks are in their first epoch: a pair of columns to compare would cost more than a statement for each.
fn by_epoch(owners: &[(TaskId, Epoch)]) -> BTreeMap<Epoch, Vec<Uuid>> {
    let mut ids: BTreeMap<Epoch, Vec<Uuid>> = BTreeMap::new();
    for (task, epoch) in owners {
        ids.entry(*epoch).or_default().push(task.0);
    }
    ids
}

/// A lease that ended without a word from its owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Expired {
    /// The task as its owner had it.
    pub leased: Leased,
    /// Who had it.
    pub worker: WorkerId,
    /// How long the owner had it, in seconds.
    pub seconds: f64,
}

/// Takes up to `limit` expired leases out. What comes back is the reaper's to queue again or to bury, in this
/// transaction; a row that another reaper holds is left to it. With them comes what is to be freed of caps, as the last thing
/// before the commit.
pub async fn take_expired(
    transaction: &Transaction<'_>,
    limit: i64,
) -> Result<(Vec<Expired>, Counts), Error> {
    let statement = "with expired as (
             select task_id from lease where lease_until < now() and kind = any($2)
             order by task_id limit $1 for update skip locked)
         delete from lease where task_id = any(array(select task_id from expired))
         returning *, extract(epoch from now() - started_at)::float8 as seconds";
    let statement = prepared(transaction, statement).await?;
    let rows = transaction.query(&statement, &[&limit, &super::task::known_kinds()]).await?;
    let (mut expired, mut caps) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        caps.extend(row.try_get::<_, Option<Vec<String>>>("caps")?.into_iter().flatten());
        let worker = WorkerId(row.try_get("worker_id")?);
        expired.push(Expired { leased: leased(row)?, worker, seconds: row.try_get("seconds")? });
    }
    Ok((expired, counts(caps.iter())))
}

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
pub async fn running<C: GenericClient>(client: &C, limit: i64) -> Result<Vec<Running>, Error> {
    let statement = "select l.task_id, l.kind, j.name as job, l.params ->> 'target' as target, l.attempt, \
             w.name as worker, l.started_at, l.progress, l.cancelled_by
         from lease l left join job j on j.id = l.job_id left join worker w on w.id = l.worker_id
         order by l.started_at, l.task_id limit $1";
    let statement = prepared(client, statement).await?;
    let rows = client.query(&statement, &[&limit]).await?;
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
    let statement = "select l.task_id, l.kind, l.priority, j.name as job, l.params, l.requested_by, l.enqueued_at, \
             l.attempt, l.rescues, coalesce(w.name, l.worker_id::text) as worker, l.started_at, l.lease_until, \
             l.progress, l.cancelled_by
         from lease l left join job j on j.id = l.job_id left join worker w on w.id = l.worker_id
         where ($1::uuid is null or l.task_id = $1) and ($2::text is null or l.kind = $2)
             and ($3::text is null or j.name = $3)
         order by l.started_at, l.task_id limit $4";
    let statement = prepared(client, statement).await?;
    let (id, kind, job) = which.columns();
    let rows = client.query(&statement, &[&id, &kind, &job, &limit]).await?;
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
pub async fn count_running<C: GenericClient>(client: &C) -> Result<Vec<(String, i64)>, Error> {
    let statement = prepared(client, "select kind, count(*) from lease group by kind order by kind").await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How many tasks of a kind run, on all workers or on one that has shown itself.
pub async fn count_of<C: GenericClient>(
    client: &C,
    kind: TaskKind,
    worker: Option<&str>,
) -> Result<i64, Error> {
    let statement = "select count(*) from lease l where kind = $1 and ($2::text is null or exists (
             select from worker w where w.id = l.worker_id and w.name = $2))";
    let statement = prepared(client, statement).await?;
    Ok(client.query_one(&statement, &[&kind.as_str(), &worker]).await?.try_get(0)?)
}

fn leased(row: &Row) -> Result<Leased, Error> {
    Ok(Leased {
        task: task_of(row, "task_id")?,
        attempt: row.try_get("attempt")?,
        rescues: row.try_get("rescues")?,
        epoch: Epoch(row.try_get("epoch")?),
        started_at: row.try_get("started_at")?,
        cancelled_by: row.try_get("cancelled_by")?,
    })
}

/// Reads the columns that `task` and `lease` share.
pub(super) fn task_of(row: &Row, id: &str) -> Result<Task, Error> {
    Ok(Task {
        id: TaskId(row.try_get(id)?),
        kind: parsed(row, "kind")?,
        priority: parsed(row, "priority")?,
        job: row.try_get::<_, Option<i32>>("job_id")?.map(JobId),
        params: row.try_get("params")?,
        requested_by: row.try_get("requested_by")?,
        enqueued_at: row.try_get("enqueued_at")?,
    })
}

/// Tasks turned into columns, as `unnest` takes them.
pub(super) struct Columns<'a> {
    pub(super) id: Vec<Uuid>,
    pub(super) kind: Vec<&'static str>,
    pub(super) priority: Vec<&'static str>,
    pub(super) job_id: Vec<Option<i32>>,
    pub(super) params: Vec<&'a Params>,
    pub(super) requested_by: Vec<&'a str>,
    pub(super) enqueued_at: Vec<DateTime<Utc>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(tasks: impl Iterator<Item = &'a Task> + Clone) -> Self {
        Self {
            id: tasks.clone().map(|task| task.id.0).collect(),
            kind: tasks.clone().map(|task| task.kind.as_str()).collect(),
            priority: tasks.clone().map(|task| task.priority.as_str()).collect(),
            job_id: tasks.clone().map(|task| task.job.map(|job| job.0)).collect(),
            params: tasks.clone().map(|task| &task.params).collect(),
            requested_by: tasks.clone().map(|task| task.requested_by.as_str()).collect(),
            enqueued_at: tasks.map(|task| task.enqueued_at).collect(),
        }
    }
}
