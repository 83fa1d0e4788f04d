//! Tables `rollup` and `rollup_state`: attempts by hour and day, each counted once.
//!
//! An attempt is rolled up when the state passes the number of the transaction that wrote it. Who moves the state has its row
//! locked, and writes the rows in the same transaction: a process that was stopped and goes on doubles nothing.

pub mod period;
mod recount;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::execution::Xact;
use super::statement::{command, statement};
use super::{Error, parsed, unsigned};
use crate::duration_class::{self, DurationClass};
use crate::job::JobId;
use crate::task::{Outcome, TaskKind};

pub use recount::{Difference, Differences, Sums, clear, days, differences, recount, renumber};

/// For how many days the hours are kept; days are kept for longer. No period that is shown by the hour is longer.
pub const HOURS_KEPT: i64 = 90;
/// For how many days the days are kept: three years, so that each can be compared with those before it.
pub const DAYS_KEPT: i64 = 3 * 365 + 1;

/// How far attempts are rolled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// All attempts that transactions below this one wrote are rolled up, and no others.
    pub xact: Xact,
    /// When that was found last.
    pub moved_at: DateTime<Utc>,
    /// Attempts before this moment were dropped with their months; `None` while there are all.
    pub whole_since: Option<DateTime<Utc>>,
}

const STATE: &str = "select xact::text as xact, moved_at, whole_since from rollup_state";

/// Reads the state.
pub async fn state<C: GenericClient>(client: &C) -> Result<State, Error> {
    let statement = statement!("rollup.state", STATE);
    read_state(&statement.query_one(client, &[]).await?)
}

/// Reads the state and keeps it until the transaction ends: nobody else rolls up meanwhile.
pub async fn lock(transaction: &Transaction<'_>) -> Result<State, Error> {
    let statement = statement!("rollup.lock", format!("{STATE} for update"));
    read_state(&statement.query_one(transaction, &[]).await?)
}

fn read_state(row: &tokio_postgres::Row) -> Result<State, Error> {
    Ok(State {
        xact: Xact(parsed(row, "xact")?),
        moved_at: row.try_get("moved_at")?,
        whole_since: row.try_get("whole_since")?,
    })
}

/// Moves the state, which is locked.
pub async fn set_state(transaction: &Transaction<'_>, xact: Xact) -> Result<(), Error> {
    let statement =
        statement!("rollup.set_state", "update rollup_state set xact = $1::text::xid8, moved_at = now()");
    statement.execute(transaction, &[&xact.0.to_string()]).await?;
    Ok(())
}

/// Notes that attempts before a moment are being dropped, in the transaction that drops them.
pub(super) async fn note_dropped(transaction: &Transaction<'_>, end: DateTime<Utc>) -> Result<(), Error> {
    let statement =
        statement!("rollup.note_dropped", "update rollup_state set whole_since = greatest(whole_since, $1)");
    statement.execute(transaction, &[&end]).await?;
    Ok(())
}

/// How many seconds ago the oldest attempt was recorded that is there to be read and not rolled up; 0 when there is none.
pub async fn behind<C: GenericClient>(client: &C) -> Result<f64, Error> {
    let statement = statement!(
        "rollup.behind",
        "select greatest(extract(epoch from clock_timestamp() - finished_at), 0)::float8 from execution
         where xact >= (select xact from rollup_state) order by xact limit 1"
    );
    Ok(statement.query_opt(client, &[]).await?.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// The transaction before which no more than `most` attempts from `from` on were written, or those of one transaction, and which does
/// not lie beyond `horizon`.
pub async fn range_end(
    transaction: &Transaction<'_>,
    from: Xact,
    horizon: Xact,
    most: i64,
) -> Result<Xact, Error> {
    // The order of the index's entries, whatever is thought to be in the table.
    command!("rollup.by_index").run(transaction, "set local enable_seqscan = off").await?;
    let statement = statement!(
        "rollup.range_end",
        "select e.xact::text as xact from execution e where e.xact >= $1::text::xid8 and e.xact < $2::text::xid8
         order by e.xact offset $3 limit 1"
    );
    let row = statement.query_opt(transaction, &[&from.0.to_string(), &horizon.0.to_string(), &most]).await?;
    let Some(row) = row else { return Ok(horizon) };
    Ok(Xact(parsed(&row, "xact")?).max(Xact(from.0 + 1)))
}

/// Attempts of `execution` that a condition names, as rows of the table: `hours`, and `counted` with the days and the hours from
/// the first parameter on. Hours and days of UTC have one length.
fn counted(which: &str) -> String {
    let class = duration_class::IN_SQL;
    format!(
        "with hours as (
             select date_bin('1 hour', finished_at, 'epoch') as at, job_id, kind, outcome, target_id, {class} as bucket,
                 count(*) as count, sum(round(least(greatest(seconds, 0), 1e9) * 1e6)::bigint) as microseconds,
                 sum(bytes) as bytes, sum(bytes_added) as bytes_added, sum(files) as files,
                 sum(source_errors) as source_errors
             from execution where {which} group by 1, 2, 3, 4, 5, 6),
         counted as (
             select 'hour' as span, * from hours where at >= $1
             union all
             select 'day', date_bin('1 day', at, 'epoch'), job_id, kind, outcome, target_id, bucket, sum(count)::bigint,
                 sum(microseconds), sum(bytes), sum(bytes_added), sum(files), sum(source_errors)
             from hours group by 2, 3, 4, 5, 6, 7)"
    )
}

const COLUMNS: &str = "span, at, job_id, kind, outcome, target_id, bucket, count, microseconds, bytes, bytes_added, files, \
     source_errors";

/// Adds the attempts that the transactions from `from` until before `to` wrote; returns how many. `to` must not lie beyond a
/// horizon that was read earlier.
pub async fn add(
    transaction: &Transaction<'_>,
    from: Xact,
    to: Xact,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let statement = statement!(
        "rollup.add",
        format!(
            "{}, added as (
             insert into rollup as r ({COLUMNS}) select {COLUMNS} from counted order by span, at, job_id
             on conflict (span, at, job_id, kind, outcome, target_id, bucket) do update set count = r.count + excluded.count,
                 microseconds = r.microseconds + excluded.microseconds, bytes = r.bytes + excluded.bytes,
                 bytes_added = r.bytes_added + excluded.bytes_added, files = r.files + excluded.files,
                 source_errors = r.source_errors + excluded.source_errors)
         select coalesce(sum(count), 0)::bigint from hours",
        counted("xact >= $2::text::xid8 and xact < $3::text::xid8")
    )
    );
    let row = statement
        .query_one(transaction, &[&hours_since(now), &from.0.to_string(), &to.0.to_string()])
        .await?;
    Ok(unsigned(row.try_get(0)?))
}

/// The first hour that is kept.
fn hours_since(now: DateTime<Utc>) -> DateTime<Utc> {
    start_of_day(now) - TimeDelta::days(HOURS_KEPT)
}

fn start_of_day(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc()
}

/// Attempts of one kind, outcome and class of duration in a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The kind.
    pub kind: TaskKind,
    /// The outcome.
    pub outcome: Outcome,
    /// The class of their duration.
    pub class: DurationClass,
    /// How many attempts.
    pub count: u64,
    /// Their durations together.
    pub seconds: f64,
    /// Bytes of their sources together.
    pub bytes: u64,
    /// Bytes that they stored in addition.
    pub bytes_added: u64,
}

/// What was rolled up of the hours that began after `since`, of all jobs or of one. It reads the hours of the first day and
/// whole days after that.
pub async fn slices<C: GenericClient>(
    client: &C,
    since: DateTime<Utc>,
    job: Option<JobId>,
) -> Result<Vec<Slice>, Error> {
    let statement = statement!(
        "rollup.slices",
        "select kind, outcome, bucket, sum(count)::bigint as count, (sum(microseconds) / 1e6)::float8 as seconds,
             least(sum(bytes), 9223372036854775807)::bigint as bytes,
             least(sum(bytes_added), 9223372036854775807)::bigint as bytes_added
         from (
             select * from rollup where span = 'hour' and at > $1 and at < $2
             union all
             select * from rollup where span = 'day' and at >= $2) r
         where $3::integer is null or job_id = $3 group by kind, outcome, bucket"
    );
    let next_day = start_of_day(since) + TimeDelta::days(1);
    let rows = statement.query(client, &[&since, &next_day, &job.map(|job| job.0)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Slice {
                kind: parsed(row, "kind")?,
                outcome: parsed(row, "outcome")?,
                class: DurationClass(row.try_get("bucket")?),
                count: unsigned(row.try_get("count")?),
                seconds: row.try_get("seconds")?,
                bytes: unsigned(row.try_get("bytes")?),
                bytes_added: unsigned(row.try_get("bytes_added")?),
            })
        })
        .collect()
}

/// Removes hours and days that are not kept any more, at most `most` rows; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, now: DateTime<Utc>, most: i64) -> Result<u64, Error> {
    let statement = statement!(
        "rollup.sweep",
        "delete from rollup where ctid = any(array(
             select ctid from rollup where (span = 'hour' and at < $1) or (span = 'day' and at < $2) limit $3))"
    );
    let days_since = start_of_day(now) - TimeDelta::days(DAYS_KEPT);
    Ok(statement.execute(client, &[&hours_since(now), &days_since, &most]).await?)
}
