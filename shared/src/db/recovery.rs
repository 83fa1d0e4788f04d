//! What a loss of the data would have cost: how old the newest restore point was, and how long restores took.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;

use super::statement::statement;
use super::{Error, parsed, unsigned};
use crate::job::{JobId, JobName};

/// How much of its newest data an active job could have lost at the worst moment of a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// The job's name.
    pub job: JobName,
    /// What it may lose at most: its recovery point objective.
    pub rpo: Duration,
    /// The longest time between the data of a complete restore point and the next one, or now, in seconds. `None` while the job has none.
    pub seconds: Option<f64>,
}

impl Gap {
    /// Whether the job could never have lost more than its objective.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.seconds.is_some_and(|seconds| seconds <= self.rpo.as_secs_f64())
    }
}

/// The gaps of all active jobs, or of one, that ended after `since`. Restore points that a retention has forgotten since then count: they
/// were there. It reads all restore points.
pub async fn gaps<C: GenericClient>(
    client: &C,
    since: DateTime<Utc>,
    job: Option<JobId>,
) -> Result<Vec<Gap>, Error> {
    let jobs = job.map(|job| [job]);
    gaps_of(client, since, None, jobs.as_ref().map(<[JobId; 1]>::as_slice)).await
}

/// As [`gaps`], of some jobs or of all, as it was at `until`, or is now where that is yet to come.
pub async fn gaps_of<C: GenericClient>(
    client: &C,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    jobs: Option<&[JobId]>,
) -> Result<Vec<Gap>, Error> {
    let statement = statement!(
        "recovery.gaps",
        "with complete as (
             select job_id, created_at, data_time, max(data_time) over (
                 partition by job_id order by created_at, id rows between unbounded preceding and 1 preceding) as before
             from restore_point where source_errors = 0 and ($2::integer[] is null or job_id = any($2))
                 and ($3::timestamptz is null or created_at < $3)),
         gap as (
             select job_id, extract(epoch from least(now(), $3) - max(data_time))::float8 as open,
                 (max(extract(epoch from created_at - before)) filter (where created_at > $1))::float8 as closed
             from complete group by job_id)
         select j.name, j.definition ->> 'rpo' as rpo, greatest(g.open, g.closed) as seconds
         from job j left join gap g on g.job_id = j.id
         where j.active and ($2::integer[] is null or j.id = any($2)) order by j.name"
    );
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    let rows = statement.query(client, &[&since, &jobs, &until]).await?;
    rows.iter()
        .map(|row| {
            let rpo: humantime::Duration = parsed(row, "rpo")?;
            Ok(Gap { job: parsed(row, "name")?, rpo: rpo.into(), seconds: row.try_get("seconds")? })
        })
        .collect()
}

/// How long restores took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Restores {
    /// Restores and restore tests that succeeded.
    pub count: u64,
    /// The longest, in seconds.
    pub longest: Option<f64>,
    /// What 95 of 100 did not exceed, in seconds.
    pub p95: Option<f64>,
}

/// How long the restores and restore tests took that succeeded after `since`, of all jobs or of one. It reads the attempts and the
/// evidence of that time.
pub async fn restores<C: GenericClient>(
    client: &C,
    since: DateTime<Utc>,
    job: Option<JobId>,
) -> Result<Restores, Error> {
    let jobs = job.map(|job| [job]);
    restores_of(client, since, None, jobs.as_ref().map(<[JobId; 1]>::as_slice)).await
}

/// As [`restores`], of some jobs or of all, and only before `until`.
pub async fn restores_of<C: GenericClient>(
    client: &C,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    jobs: Option<&[JobId]>,
) -> Result<Restores, Error> {
    let statement = statement!(
        "recovery.restores",
        "select count(*) as count, max(seconds) as longest,
             percentile_disc(0.95) within group (order by seconds) as p95
         from (
             select seconds from execution
             where kind = 'restore' and outcome = 'success' and finished_at > $1 and ($2::integer[] is null or job_id = any($2))
                 and ($3::timestamptz is null or finished_at < $3)
             union all
             select (finding ->> 'seconds')::float8 from evidence
             where kind = 'restore_test' and observed_at > $1 and ($2::integer[] is null or job_id = any($2))
                 and ($3::timestamptz is null or observed_at < $3)
                 and (finding ->> 'passed')::boolean) r"
    );
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    let row = statement.query_one(client, &[&since, &jobs, &until]).await?;
    Ok(Restores {
        count: unsigned(row.try_get("count")?),
        longest: row.try_get("longest")?,
        p95: row.try_get("p95")?,
    })
}
