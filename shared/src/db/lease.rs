//! Table `lease`: what runs. From its claim on a lease with an epoch protects a task, on the database's clock.
//!
//! This table and `task` are empty at one moment and hold many rows at the next, and a plan that was made for the first
//! is kept. So statements that take many rows find them by `= any(..)` and look pairs up `is true`: a join with the empty
//! table may be planned as a comparison of each with each, which takes seconds for a thousand rows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Error;
use super::bulk::Bulk;
use super::cap::{self, Counts};
use super::columns::{NAMES, task_of};
use super::statement::{Statement, command, statement};
use crate::task::{Epoch, Task, TaskId, WorkerId};
use crate::trace::TraceContext;

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
    /// From when on it could have begun: the task was asked for, or the time had come for which it waited.
    pub could_start_at: DateTime<Utc>,
    /// Who asked for its end, if somebody did.
    pub cancelled_by: Option<String>,
    /// The caps that it is counted under.
    pub caps: Vec<String>,
}

/// The caps that tasks are to be counted under; those that come under none are absent.
pub type Caps = HashMap<TaskId, Vec<String>>;

/// Takes tasks that were never seen before; their ids must have been fresh in this transaction.
pub async fn insert_fresh(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    lease: Duration,
    tasks: Vec<Task>,
    caps: &Caps,
) -> Result<Vec<Leased>, Error> {
    // The transaction's own time, as `now()` gives it to every other statement.
    let now = statement!("lease.insert_fresh", "select now()").query_one(transaction, &[]).await?;
    let started_at: DateTime<Utc> = now.try_get(0)?;
    let first = |task: Task| Leased {
        attempt: 1,
        rescues: 0,
        epoch: Epoch(1),
        started_at,
        could_start_at: task.enqueued_at,
        cancelled_by: None,
        caps: caps.get(&task.id).cloned().unwrap_or_default(),
        task,
    };
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
        ("caps", Type::TEXT_ARRAY),
        ("traceparent", Type::TEXT),
        ("tracestate", Type::TEXT),
    ];
    let mut rows = Bulk::begin(command!("lease.copy"), transaction, "lease", &columns).await?;
    for Leased { task, attempt, rescues, epoch, caps, .. } in &leased {
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
            &(!caps.is_empty()).then_some(caps),
            &task.trace.as_ref().map(TraceContext::parent),
            &task.trace.as_ref().and_then(TraceContext::state),
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
    caps: &Caps,
) -> Result<Vec<Leased>, Error> {
    let statement = statement!("lease.take_waiting", taking("run_at <= now()"));
    take(transaction, statement, worker, lease, ids, caps).await
}

/// Takes tasks that were called from a line in this transaction.
pub async fn take_called(
    transaction: &Transaction<'_>,
    worker: WorkerId,
    lease: Duration,
    ids: &[TaskId],
    caps: &Caps,
) -> Result<Vec<Leased>, Error> {
    let statement = statement!("lease.take_called", taking("true"));
    take(transaction, statement, worker, lease, ids, caps).await
}

fn taking(condition: &str) -> String {
    format!(
        "with due as (select id from task where id = any($1) and {condition} order by id for update),
         moved as (delete from task where id = any(array(select id from due)) returning *),
         taken as (
             insert into lease (task_id, {NAMES}, attempt, rescues, epoch, worker_id, lease_until, caps)
             select id, {NAMES}, attempt + 1, rescues, epoch + 1, $2, now() + make_interval(secs => $3), \
                 string_to_array($4::jsonb ->> id::text, chr(10))
             from moved returning *)
         select taken.*, greatest(taken.enqueued_at, nullif(moved.run_at, 'infinity')) as could_start_at
         from taken join moved on moved.id = taken.task_id"
    )
}

async fn take(
    transaction: &Transaction<'_>,
    statement: &'static Statement,
    worker: WorkerId,
    lease: Duration,
    ids: &[TaskId],
    caps: &Caps,
) -> Result<Vec<Leased>, Error> {
    // No key holds a line break.
    let caps = ids.iter().filter_map(|id| Some((id.to_string(), caps.get(id)?.join("\n").into())));
    let caps: Value = caps.collect::<serde_json::Map<_, _>>().into();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(transaction, &[&ids, &worker.0, &lease.as_secs_f64(), &caps]).await?;
    rows.iter()
        .map(|row| Ok(Leased { could_start_at: row.try_get("could_start_at")?, ..leased(row)? }))
        .collect()
}

/// Counts tasks that were taken in this transaction under their caps, which it has locked.
pub async fn count(transaction: &Transaction<'_>, taken: &[Leased]) -> Result<(), Error> {
    cap::begin(transaction, &cap::counts(taken.iter().flat_map(|leased| &leased.caps))).await
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
    let statement = statement!(
        "lease.adopt",
        "with mine as (
             select task_id from lease where task_id = any($1) and worker_id = $2 and lease_until > now()
                 and started_at < now() order by task_id for update)
         update lease l set lease_until = now() + make_interval(secs => $3)
         from mine where l.task_id = mine.task_id returning l.*"
    );
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(transaction, &[&ids, &worker.0, &lease.as_secs_f64()]).await?;
    rows.iter().map(leased).collect()
}

/// A lease that its owner holds still.
pub async fn owned<C: GenericClient>(
    client: &C,
    worker: WorkerId,
    task: TaskId,
    epoch: Epoch,
) -> Result<Option<Leased>, Error> {
    let statement = statement!(
        "lease.owned",
        "select * from lease where task_id = $1 and epoch = $2 and worker_id = $3 and lease_until > now()"
    );
    statement.query_opt(client, &[&task.0, &epoch.0, &worker.0]).await?.as_ref().map(leased).transpose()
}

/// Extends the leases of a worker, and the repository locks of their tasks; returns the tasks that are still its
/// own. A lease that has expired is not extended: its owner has ended the work already.
pub async fn heartbeat<C: GenericClient>(
    client: &C,
    worker: WorkerId,
    lease: Duration,
    held: &[(TaskId, Epoch)],
) -> Result<Vec<(TaskId, Epoch)>, Error> {
    let statement = statement!(
        "lease.heartbeat",
        "with mine as (
             select task_id from lease
             where task_id = any($1) and ((task_id, epoch) in (select * from unnest($1::uuid[], $2::bigint[]))) is true
                 and worker_id = $3 and lease_until > now() order by task_id for update),
         extended as (
             update lease set lease_until = now() + make_interval(secs => $4)
             where task_id = any(array(select task_id from mine)) returning task_id, epoch),
         locks as (
             update repository_lock r set expires_at = now() + make_interval(secs => $4)
             from extended e where r.task_id = e.task_id and r.epoch = e.epoch)
         select task_id, epoch from extended"
    );
    let (ids, epochs) = owners(held);
    let rows = statement.query(client, &[&ids, &epochs, &worker.0, &lease.as_secs_f64()]).await?;
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
        let statement = statement!(
            "lease.progress",
            "with moved as (
                 select l.task_id, m.progress from lease l
                 join unnest($1::uuid[], $2::bigint[], $3::jsonb[]) as m(task_id, epoch, progress)
                     on m.task_id = l.task_id and m.epoch = l.epoch
                 where l.worker_id = $4 order by l.task_id for update of l)
             update lease l set progress = moved.progress,
                 progressed_at = case when moved.progress is distinct from l.progress then now() else l.progressed_at end
             from moved where l.task_id = moved.task_id"
        );
        let ids: Vec<Uuid> = moved.iter().map(|moved| moved.task.0).collect();
        let epochs: Vec<i64> = moved.iter().map(|moved| moved.epoch.0).collect();
        let progress: Vec<&Value> = moved.iter().map(|moved| &moved.progress).collect();
        statement.execute(client, &[&ids, &epochs, &progress, &worker.0]).await?;
    }
    let statement = statement!(
        "lease.cancelled",
        "select task_id, epoch, cancelled_by from lease
         where worker_id = $1 and cancelled_by is not null"
    );
    let rows = statement.query(client, &[&worker.0]).await?;
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
    let statement = statement!(
        "lease.cancel",
        "update lease set cancelled_by = coalesce(cancelled_by, $2) where task_id = $1"
    );
    Ok(statement.execute(client, &[&task.0, &by]).await? == 1)
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
    let statement = statement!(
        "lease.complete",
        "delete from lease where task_id = any($1) and epoch = $2 and worker_id = $3
         returning task_id, cancelled_by, caps"
    );
    let mut completed = Vec::with_capacity(ended.len());
    for (epoch, ids) in by_epoch(ended) {
        let rows = statement.query(transaction, &[&ids, &epoch.0, &worker.0]).await?;
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
    let statement = statement!("lease.unlock", "delete from repository_lock where task_id = any($1)");
    statement.execute(transaction, &[&ids]).await?;
    Ok(completed)
}

/// Frees the caps of leases that were completed in this transaction, and says which. It comes last, because others wait for
/// the same caps.
pub async fn free<'a>(
    transaction: &Transaction<'_>,
    completed: impl Iterator<Item = &'a Completed>,
) -> Result<Counts, Error> {
    let freed = cap::counts(completed.flat_map(|completed| &completed.caps));
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
    let statement = statement!(
        "lease.take_expired",
        "with expired as (
             select task_id from lease where lease_until < now() and kind = any($2)
             order by task_id limit $1 for update skip locked)
         delete from lease where task_id = any(array(select task_id from expired))
         returning *, extract(epoch from now() - started_at)::float8 as seconds"
    );
    let rows = statement.query(transaction, &[&limit, &super::task::known_kinds()]).await?;
    let expired = |row: &Row| {
        let worker = WorkerId(row.try_get("worker_id")?);
        Ok(Expired { leased: leased(row)?, worker, seconds: row.try_get("seconds")? })
    };
    let expired: Vec<Expired> = rows.iter().map(expired).collect::<Result<_, Error>>()?;
    let caps = cap::counts(expired.iter().flat_map(|expired| &expired.leased.caps));
    Ok((expired, caps))
}

fn leased(row: &Row) -> Result<Leased, Error> {
    let task = task_of(row, "task_id")?;
    Ok(Leased {
        could_start_at: task.enqueued_at,
        task,
        attempt: row.try_get("attempt")?,
        rescues: row.try_get("rescues")?,
        epoch: Epoch(row.try_get("epoch")?),
        started_at: row.try_get("started_at")?,
        cancelled_by: row.try_get("cancelled_by")?,
        caps: row.try_get::<_, Option<Vec<String>>>("caps")?.unwrap_or_default(),
    })
}
