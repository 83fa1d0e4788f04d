//! Table `execution`: the record of each finished attempt, partitioned by month.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::bulk::Bulk;
use super::columns::trace_of;
use super::lease::Leased;
use super::statement::{command, statement};
use super::{Error, parsed, signed, unsigned};
use crate::job::JobId;
use crate::target::TargetId;
use crate::task::{Outcome, TaskId, TaskKind, WorkerId};
use crate::trace::TraceContext;

/// What an attempt moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Entries of the source.
    pub files: u64,
    /// Bytes of the source.
    pub bytes: u64,
    /// Bytes that were stored in addition.
    pub bytes_added: u64,
    /// Entries that could not be read.
    pub source_errors: u64,
}

/// An attempt that finished.
#[derive(Debug)]
pub struct Execution<'a> {
    /// The task with its attempt.
    pub leased: &'a Leased,
    /// The target that it worked on.
    pub target: Option<TargetId>,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// What it moved.
    pub volume: Volume,
    /// Why it failed.
    pub error: Option<String>,
    /// What else is worth keeping, such as the names of entries that could not be read.
    pub detail: Option<Value>,
    /// Who ran it.
    pub worker: WorkerId,
}

/// Writes finished attempts.
pub async fn insert(transaction: &Transaction<'_>, executions: &[Execution<'_>]) -> Result<(), Error> {
    let columns = [
        ("task_id", Type::UUID),
        ("kind", Type::TEXT),
        ("job_id", Type::INT4),
        ("requested_by", Type::TEXT),
        ("enqueued_at", Type::TIMESTAMPTZ),
        ("epoch", Type::INT8),
        ("attempt", Type::INT4),
        ("target_id", Type::INT4),
        ("outcome", Type::TEXT),
        ("started_at", Type::TIMESTAMPTZ),
        ("seconds", Type::FLOAT8),
        ("files", Type::INT8),
        ("bytes", Type::INT8),
        ("bytes_added", Type::INT8),
        ("source_errors", Type::INT8),
        ("error", Type::TEXT),
        ("detail", Type::JSONB),
        ("worker_id", Type::UUID),
        ("traceparent", Type::TEXT),
        ("tracestate", Type::TEXT),
    ];
    let mut rows = Bulk::begin(command!("execution.copy"), transaction, "execution", &columns).await?;
    for Execution { leased, target, outcome, seconds, volume, error, detail, worker } in executions {
        let Leased { task, attempt, epoch, started_at, .. } = leased;
        rows.row(&[
            &task.id.0,
            &task.kind.as_str(),
            &task.job.map(|job| job.0),
            &task.requested_by,
            &task.enqueued_at,
            &epoch.0,
            attempt,
            &target.map(|target| target.0),
            &outcome.as_str(),
            started_at,
            seconds,
            &signed(volume.files),
            &signed(volume.bytes),
            &signed(volume.bytes_added),
            &signed(volume.source_errors),
            error,
            detail,
            &worker.0,
            &task.trace.as_ref().map(TraceContext::parent),
            &task.trace.as_ref().and_then(TraceContext::state),
        ])
        .await?;
    }
    rows.finish().await?;
    Ok(())
}

/// A finished attempt as readers see it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Finished {
    /// Which task.
    pub task: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// Its job's name.
    pub job: Option<String>,
    /// The name of the target that it worked on.
    pub target: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// The number of the attempt.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was recorded.
    pub finished_at: DateTime<Utc>,
    /// How long it took.
    pub seconds: f64,
    /// Bytes of the source.
    pub bytes: i64,
    /// Why it failed.
    pub error: Option<String>,
    /// What else was kept.
    pub detail: Option<Value>,
    /// Who asked for the task.
    pub requested_by: String,
    /// Who ran it: its name while the worker is known, then its number; `None` if nobody ran it.
    pub worker: Option<String>,
    /// The trace that it belongs to.
    #[serde(flatten)]
    pub trace: Option<TraceContext>,
}

const FINISHED: &str =
    "select e.task_id, e.kind, j.name as job, t.name as target, e.outcome, e.attempt, e.started_at, \
         e.finished_at, e.seconds, e.bytes, e.error, e.detail, e.requested_by, coalesce(w.name, e.worker_id::text) as worker, \
         e.traceparent, e.tracestate
     from execution e left join job j on j.id = e.job_id left join target t on t.id = e.target_id
         left join worker w on w.id = e.worker_id";

/// The attempts of one task, in the order of their ends.
pub async fn of_task<C: GenericClient>(client: &C, task: TaskId) -> Result<Vec<Finished>, Error> {
    let statement = statement!(
        "execution.of_task",
        format!("{FINISHED} where e.task_id = $1 order by e.finished_at, e.epoch")
    );
    statement.query(client, &[&task.0]).await?.iter().map(finished).collect()
}

/// The attempts, of some jobs or of all, that finished in a period and match neither `success` nor, unless asked for, a retry; newest first.
pub async fn troubled<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    jobs: Option<&[JobId]>,
    limit: i64,
) -> Result<Vec<Finished>, Error> {
    let statement = statement!(
        "execution.troubled",
        format!(
            "{FINISHED} where e.finished_at >= $1 and e.finished_at < $2 and e.outcome <> 'success'
             and ($3::integer[] is null or e.job_id = any($3))
         order by e.finished_at desc limit $4"
        )
    );
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    statement.query(client, &[&from, &to, &jobs, &limit]).await?.iter().map(finished).collect()
}

/// The restores that finished in a period, of some jobs or of all: those that did not succeed first, and then the newest.
pub async fn restores<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    jobs: Option<&[JobId]>,
    limit: i64,
) -> Result<Vec<Finished>, Error> {
    let statement = statement!(
        "execution.restores",
        format!(
            "{FINISHED} where e.finished_at >= $1 and e.finished_at < $2 and e.kind = 'restore'
             and ($3::integer[] is null or e.job_id = any($3))
         order by e.outcome = 'success', e.finished_at desc limit $4"
        )
    );
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    statement.query(client, &[&from, &to, &jobs, &limit]).await?.iter().map(finished).collect()
}

/// Counts them: all, and those that did not succeed.
pub async fn count_restores<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    jobs: Option<&[JobId]>,
) -> Result<(i64, i64), Error> {
    let statement = statement!(
        "execution.count_restores",
        "select count(*) as every, count(*) filter (where e.outcome <> 'success') as failed from execution e
         where e.finished_at >= $1 and e.finished_at < $2 and e.kind = 'restore' and ($3::integer[] is null or e.job_id = any($3))"
    );
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    let row = statement.query_one(client, &[&from, &to, &jobs]).await?;
    Ok((row.try_get("every")?, row.try_get("failed")?))
}

fn finished(row: &tokio_postgres::Row) -> Result<Finished, Error> {
    Ok(Finished {
        task: TaskId(row.try_get::<_, Uuid>("task_id")?),
        kind: parsed(row, "kind")?,
        job: row.try_get("job")?,
        target: row.try_get("target")?,
        outcome: parsed(row, "outcome")?,
        attempt: row.try_get("attempt")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        seconds: row.try_get("seconds")?,
        bytes: row.try_get("bytes")?,
        error: row.try_get("error")?,
        detail: row.try_get("detail")?,
        requested_by: row.try_get("requested_by")?,
        worker: row.try_get("worker")?,
        trace: trace_of(row)?,
    })
}

/// Attempts of one kind and outcome in a period.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Tally {
    /// The kind.
    pub kind: TaskKind,
    /// The outcome.
    pub outcome: Outcome,
    /// How many attempts.
    pub count: i64,
    /// Their seconds together.
    pub seconds: f64,
    /// Their bytes together.
    pub bytes: i64,
}

/// Counts the attempts that finished in a period, by kind and outcome.
pub async fn tally<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Tally>, Error> {
    let statement = statement!(
        "execution.tally",
        "select kind, outcome, count(*) as count, sum(seconds)::float8 as seconds, sum(bytes)::bigint as bytes
         from execution where finished_at >= $1 and finished_at < $2 group by kind, outcome order by kind, outcome"
    );
    let rows = statement.query(client, &[&from, &to]).await?;
    rows.iter()
        .map(|row| {
            Ok(Tally {
                kind: parsed(row, "kind")?,
                outcome: parsed(row, "outcome")?,
                count: row.try_get("count")?,
                seconds: row.try_get("seconds")?,
                bytes: row.try_get("bytes")?,
            })
        })
        .collect()
}

/// The number of a transaction. All that was written below [`horizon`] is there to be read, however late it was
/// committed; times cannot promise that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xact(pub u64);

/// Keeps the months of attempts as they are until the transaction ends: none is dropped.
pub async fn hold_months(transaction: &Transaction<'_>) -> Result<(), Error> {
    Ok(command!("execution.hold_months")
        .run(transaction, "lock table execution in access share mode")
        .await?)
}

/// The oldest transaction that may still be running.
pub async fn horizon<C: GenericClient>(client: &C) -> Result<Xact, Error> {
    let statement =
        statement!("execution.horizon", "select pg_snapshot_xmin(pg_current_snapshot())::text as xact");
    xact(&statement.query_one(client, &[]).await?)
}

/// The first of the transactions that wrote attempts.
pub async fn first_xact<C: GenericClient>(client: &C) -> Result<Option<Xact>, Error> {
    let statement = statement!(
        "execution.first_xact",
        "select xact::text as xact from (select min(xact) as xact from execution) e where xact is not null"
    );
    statement.query_opt(client, &[]).await?.as_ref().map(xact).transpose()
}

fn xact(row: &tokio_postgres::Row) -> Result<Xact, Error> {
    Ok(Xact(parsed(row, "xact")?))
}

/// Attempts of one kind, outcome and class of duration.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The kind.
    pub kind: TaskKind,
    /// The outcome.
    pub outcome: Outcome,
    /// How many attempts.
    pub count: u64,
    /// How many seconds one took on average.
    pub mean_seconds: f64,
    /// Their bytes together.
    pub bytes: u64,
}

/// Counts what the transactions from `from` until before `to` wrote. `to` must not lie beyond a [`horizon`] that
/// was read earlier; `bounds` are the upper ends of the classes of duration in seconds, in ascending order.
pub async fn slices<C: GenericClient>(
    client: &C,
    from: Xact,
    to: Xact,
    bounds: &[f64],
) -> Result<Vec<Slice>, Error> {
    // A bucket of PostgreSQL holds its lower end, a class its upper end: negated, they agree.
    let statement = statement!(
        "execution.slices",
        "select kind, outcome, count(*) as count, least(avg(seconds), max(seconds)) as mean_seconds,
             least(sum(bytes), 9223372036854775807)::bigint as bytes
         from execution where xact >= $1::text::xid8 and xact < $2::text::xid8
         group by kind, outcome, width_bucket(-seconds, $3)"
    );
    let bounds: Vec<f64> = bounds.iter().rev().map(|bound| -bound).collect();
    let rows = statement.query(client, &[&from.0.to_string(), &to.0.to_string(), &bounds]).await?;
    rows.iter()
        .map(|row| {
            Ok(Slice {
                kind: parsed(row, "kind")?,
                outcome: parsed(row, "outcome")?,
                count: unsigned(row.try_get("count")?),
                mean_seconds: row.try_get("mean_seconds")?,
                bytes: unsigned(row.try_get("bytes")?),
            })
        })
        .collect()
}
