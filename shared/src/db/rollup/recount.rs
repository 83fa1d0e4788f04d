//! The rollups beside a count of the attempts themselves, as far as these are there.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde::Serialize;
use tokio_postgres::Row;

use super::{COLUMNS, State, counted, hours_since};
use crate::db::{Error, statement, unsigned};

/// What a row of the table says of its attempts. Sums that no `bigint` holds are shown as the largest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// How many.
    pub attempts: i64,
    /// Their durations together.
    pub microseconds: i64,
    /// Bytes of their sources.
    pub bytes: i64,
    /// Bytes that they stored in addition.
    pub bytes_added: i64,
    /// Entries of their sources.
    pub files: i64,
    /// Entries that they could not read.
    pub source_errors: i64,
}

/// A row of the table that is not what the attempts say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `hour` or `day`.
    pub span: String,
    /// When it began.
    pub at: DateTime<Utc>,
    /// The job's name.
    pub job: Option<String>,
    /// The kind of the attempts.
    pub kind: String,
    /// Their outcome.
    pub outcome: String,
    /// The target's name.
    pub target: Option<String>,
    /// The class of their duration.
    pub duration_class: i16,
    /// What the table says; `None` when it has no such row.
    pub rolled_up: Option<Sums>,
    /// What the attempts say; `None` when there are none.
    pub recounted: Option<Sums>,
}

/// How the table differs from the attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// How many attempts the table has in the days that were compared.
    pub attempts: u64,
    /// How many rows differ.
    pub rows: u64,
    /// The first of them.
    pub first: Vec<Difference>,
}

/// The columns that are added up.
const SUMMED: [&str; 6] = ["count", "microseconds", "bytes", "bytes_added", "files", "source_errors"];

/// Compares the table with the attempts, as far as these were rolled up and are all there; names at most `most` differences. Both sides
/// and the state must be read in one snapshot.
pub async fn differences(
    transaction: &Transaction<'_>,
    state: &State,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Differences, Error> {
    let statement = statement!("rollup.differences", comparing());
    let (since, whole) = (hours_since(now), state.whole_since);
    let rows = statement.query(transaction, &[&since, &state.xact.0.to_string(), &whole, &most]).await?;
    let all = rows.first().map(|row| row.try_get("rows")).transpose()?.unwrap_or_default();
    let first = rows.iter().map(difference).collect::<Result<_, Error>>()?;
    Ok(Differences { attempts: attempts(transaction, state).await?, rows: unsigned(all), first })
}

/// The statement of [`differences`].
fn comparing() -> String {
    let counted = counted("xact < $2::text::xid8 and finished_at >= coalesce($3::timestamptz, '-infinity')");
    let sums = |side: &str| {
        let sum = |column: &str| {
            let sum = format!("coalesce(sum({column}) filter (where {side}), 0)");
            format!("least({sum}, 9223372036854775807)::bigint as {side}_{column}")
        };
        let sums = SUMMED.map(sum).join(", ");
        format!("count(*) filter (where {side}) > 0 as {side}, {sums}")
    };
    let differs = |column: &str| {
        format!("sum({column}) filter (where stored) is distinct from sum({column}) filter (where fresh)")
    };
    let differs = SUMMED.map(differs);
    format!(
        "{counted}, both_sides as (
             select {COLUMNS}, true as stored, false as fresh from rollup
             where at >= coalesce($3::timestamptz, '-infinity') and (span = 'day' or at >= $1)
             union all select {COLUMNS}, false, true from counted),
         different as (
             select span, at, job_id, kind, outcome, target_id, bucket, {}, {} from both_sides
             group by span, at, job_id, kind, outcome, target_id, bucket having {})
         select d.*, j.name as job, t.name as target, count(*) over () as rows
         from different d left join job j on j.id = d.job_id left join target t on t.id = d.target_id
         order by d.at, d.span, j.name, d.kind, d.outcome, t.name, d.bucket limit $4",
        sums("stored"),
        sums("fresh"),
        differs.join(" or ")
    )
}

fn difference(row: &Row) -> Result<Difference, Error> {
    Ok(Difference {
        span: row.try_get("span")?,
        at: row.try_get("at")?,
        job: row.try_get("job")?,
        kind: row.try_get("kind")?,
        outcome: row.try_get("outcome")?,
        target: row.try_get("target")?,
        duration_class: row.try_get("bucket")?,
        rolled_up: sums(row, "stored")?,
        recounted: sums(row, "fresh")?,
    })
}

fn sums(row: &Row, side: &str) -> Result<Option<Sums>, Error> {
    if !row.try_get::<_, bool>(side)? {
        return Ok(None);
    }
    let sum = |column: &str| row.try_get::<_, i64>(format!("{side}_{column}").as_str());
    Ok(Some(Sums {
        attempts: sum("count")?,
        microseconds: sum("microseconds")?,
        bytes: sum("bytes")?,
        bytes_added: sum("bytes_added")?,
        files: sum("files")?,
        source_errors: sum("source_errors")?,
    }))
}

async fn attempts<C: GenericClient>(client: &C, state: &State) -> Result<u64, Error> {
    let statement = statement!(
        "rollup.attempts",
        "select coalesce(sum(count), 0)::bigint from rollup
         where span = 'day' and at >= coalesce($1::timestamptz, '-infinity')"
    );
    Ok(unsigned(statement.query_one(client, &[&state.whole_since]).await?.try_get(0)?))
}

/// The days that can be counted again: those of the attempts and of the table, the oldest first.
pub async fn days<C: GenericClient>(client: &C, state: &State) -> Result<Vec<DateTime<Utc>>, Error> {
    let statement = statement!(
        "rollup.days",
        "select date_bin('1 day', finished_at, 'epoch') as day from execution
             where finished_at >= coalesce($1::timestamptz, '-infinity')
         union select date_bin('1 day', at, 'epoch') from rollup where at >= coalesce($1::timestamptz, '-infinity')
         order by day"
    );
    let rows = statement.query(client, &[&state.whole_since]).await?;
    rows.iter().map(|row| Ok(row.try_get("day")?)).collect()
}

/// Numbers a day's attempts anew that bear numbers which this server has not given to any transaction yet: they came out of a dump of
/// another one. Returns how many.
pub async fn renumber(transaction: &Transaction<'_>, day: DateTime<Utc>) -> Result<u64, Error> {
    let statement = statement!(
        "rollup.renumber",
        "update execution set xact = '0' where finished_at >= $1 and finished_at < $2
         and xact >= pg_snapshot_xmax(pg_current_snapshot())"
    );
    Ok(statement.execute(transaction, &[&day, &(day + TimeDelta::days(1))]).await?)
}

/// Removes a day with its hours, to be counted again in the same transaction, which has the state locked.
pub async fn clear(transaction: &Transaction<'_>, day: DateTime<Utc>) -> Result<(), Error> {
    let statement = statement!(
        "rollup.clear",
        "delete from rollup where span = any(array['hour', 'day']) and at >= $1 and at < $2"
    );
    statement.execute(transaction, &[&day, &(day + TimeDelta::days(1))]).await?;
    Ok(())
}

/// Counts a day's attempts that are rolled up, into the place that [`clear`] made; returns how many there are.
pub async fn recount(
    transaction: &Transaction<'_>,
    state: &State,
    day: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let statement = statement!(
        "rollup.recount",
        format!(
            "{}, added as (insert into rollup ({COLUMNS}) select {COLUMNS} from counted)
         select coalesce(sum(count), 0)::bigint from hours",
            counted("xact < $2::text::xid8 and finished_at >= $3 and finished_at < $4")
        )
    );
    let end = day + TimeDelta::days(1);
    let row =
        statement.query_one(transaction, &[&hours_since(now), &state.xact.0.to_string(), &day, &end]).await?;
    Ok(unsigned(row.try_get(0)?))
}
