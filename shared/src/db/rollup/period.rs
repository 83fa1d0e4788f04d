//! What attempts of a period of whole days came to, exact at the moment of the caller's snapshot: what is rolled up, and what
//! is not yet.
//!
//! Of most kinds nobody asks for more than how many there were, and they are most of all attempts: only those that figures are made
//! of are told apart by job, day and duration.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::{Slice, duration_class, parsed, unsigned};
use crate::db::Error;
use crate::db::statement::{Statement, statement};
use crate::duration_class::DurationClass;
use crate::job::JobId;
use crate::task::TaskKind;

/// The kinds that [`crate::figures::Figures`] are made of.
const OF_FIGURES: [TaskKind; 3] = [TaskKind::Backup, TaskKind::Record, TaskKind::Copy];

/// Attempts of a period, twice: by job, and by day; only of the kinds that figures are made of. Only of backups the classes of their
/// durations are told apart: all others are of the lowest.
#[derive(Debug, Default)]
pub struct Attempts {
    /// By job; `None` is work on no job.
    pub jobs: BTreeMap<Option<JobId>, Vec<Slice>>,
    /// By day in UTC. The classes of durations are not told apart.
    pub days: BTreeMap<NaiveDate, Vec<Slice>>,
}

/// Which attempts: they ended from a day's first moment until before another day's, and are of some jobs, or of all.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The first moment after it.
    pub to: DateTime<Utc>,
    /// The jobs; all, and work on none, without.
    pub jobs: Option<&'a [JobId]>,
}

/// Adds up the attempts of a period that figures are made of. In a transaction of one snapshot it counts each attempt once, whoever rolls up meanwhile.
pub async fn attempts<C: GenericClient>(client: &C, which: Which<'_>) -> Result<Attempts, Error> {
    let mut attempts = Attempts::default();
    let statement = statement!(
        "rollup.attempts_of_period",
        text(
            "grouping(job_id) = 1 as of_day, at, job_id, kind, outcome, bucket",
            "grouping sets ((job_id, kind, outcome, bucket), (at, kind, outcome))"
        )
    );
    each(client, which, &OF_FIGURES, statement, |row| {
        if row.try_get("of_day")? {
            let day: DateTime<Utc> = row.try_get("at")?;
            attempts.days.entry(day.date_naive()).or_default().push(slice(row, DurationClass(0))?);
        } else {
            let job: Option<i32> = row.try_get("job_id")?;
            let class = DurationClass(row.try_get("bucket")?);
            attempts.jobs.entry(job.map(JobId)).or_default().push(slice(row, class)?);
        }
        Ok(())
    })
    .await?;
    Ok(attempts)
}

/// Adds up the attempts of a period that figures are made of by the day in UTC. The classes of durations are not told apart.
pub async fn days<C: GenericClient>(
    client: &C,
    which: Which<'_>,
) -> Result<BTreeMap<NaiveDate, Vec<Slice>>, Error> {
    let mut days = BTreeMap::<NaiveDate, Vec<Slice>>::new();
    each(
        client,
        which,
        &OF_FIGURES,
        statement!("rollup.days_of_period", text("at, kind, outcome", "at, kind, outcome")),
        |row| {
            let day: DateTime<Utc> = row.try_get("at")?;
            days.entry(day.date_naive()).or_default().push(slice(row, DurationClass(0))?);
            Ok(())
        },
    )
    .await?;
    Ok(days)
}

/// Adds up all attempts of a period, of every kind. The classes of durations are not told apart.
pub async fn tallies<C: GenericClient>(client: &C, which: Which<'_>) -> Result<Vec<Slice>, Error> {
    let mut slices = Vec::new();
    each(
        client,
        which,
        TaskKind::ALL,
        statement!("rollup.tallies_of_period", text("kind, outcome", "kind, outcome")),
        |row| {
            slices.push(slice(row, DurationClass(0))?);
            Ok(())
        },
    )
    .await?;
    Ok(slices)
}

/// Adds up the attempts of a period that figures are made of, all in one.
pub async fn total<C: GenericClient>(client: &C, which: Which<'_>) -> Result<Vec<Slice>, Error> {
    let mut slices = Vec::new();
    each(
        client,
        which,
        &OF_FIGURES,
        statement!("rollup.total_of_period", text("kind, outcome, bucket", "kind, outcome, bucket")),
        |row| {
            slices.push(slice(row, DurationClass(row.try_get("bucket")?))?);
            Ok(())
        },
    )
    .await?;
    Ok(slices)
}

/// Hands over what a statement of [`text`] reads.
async fn each<C: GenericClient>(
    client: &C,
    Which { from, to, jobs }: Which<'_>,
    kinds: &[TaskKind],
    statement: &'static Statement,
    take: impl FnMut(&Row) -> Result<(), Error>,
) -> Result<(), Error> {
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    let rolled_up = super::state(client).await?.xact.0.to_string();
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    statement.each(client, &[&from, &to, &jobs, &rolled_up, &kinds], take).await
}

fn text(columns: &str, sets: &str) -> String {
    let class = duration_class::IN_SQL;
    format!(
        "select {columns}, sum(count)::bigint as count, (sum(microseconds) / 1e6)::float8 as seconds,
             least(sum(bytes), 9223372036854775807)::bigint as bytes,
             least(sum(bytes_added), 9223372036854775807)::bigint as bytes_added
         from (
             select at, job_id, kind, outcome, case when kind = 'backup' then bucket else 0::smallint end as bucket, count,
                 microseconds, bytes, bytes_added
             from rollup where span = 'day' and at >= $1 and at < $2 and kind = any($5)
                 and ($3::integer[] is null or job_id = any($3))
             union all
             select date_bin('1 day', finished_at, 'epoch'), job_id, kind, outcome,
                 case when kind = 'backup' then {class} else 0::smallint end, 1::bigint,
                 round(least(greatest(seconds, 0), 1e9) * 1e6)::numeric, bytes::numeric, bytes_added::numeric
             from execution where xact >= $4::text::xid8 and finished_at >= $1 and finished_at < $2 and kind = any($5)
                 and ($3::integer[] is null or job_id = any($3))) r
         group by {sets}"
    )
}

fn slice(row: &Row, class: DurationClass) -> Result<Slice, Error> {
    Ok(Slice {
        kind: parsed(row, "kind")?,
        outcome: parsed(row, "outcome")?,
        class,
        count: unsigned(row.try_get("count")?),
        seconds: row.try_get("seconds")?,
        bytes: unsigned(row.try_get("bytes")?),
        bytes_added: unsigned(row.try_get("bytes_added")?),
    })
}
