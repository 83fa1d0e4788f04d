//! How recent, how large and how quick the backups of jobs are, for whoever watches all of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;

use super::statement::statement;
use super::{Error, parsed};

/// The newest of a job's backups.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    /// The job's name.
    pub job: String,
    /// What it may lose at most: its recovery point objective.
    pub rpo: Duration,
    /// The moment whose data its newest complete restore point holds, on whatever target of its own; `None` without any.
    pub data_time: Option<DateTime<Utc>>,
    /// When a backup succeeded for the last time.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// How long that took, in seconds.
    pub seconds: Option<f64>,
    /// How large its source was, in bytes.
    pub bytes: Option<i64>,
}

impl Freshness {
    /// How old the newest complete restore point is, in seconds; never less than 0.
    #[must_use]
    pub fn age(&self, now: DateTime<Utc>) -> Option<f64> {
        Some((now - self.data_time?).as_seconds_f64().max(0.0))
    }

    /// Whether there is none that is as new as it has to be.
    #[must_use]
    pub fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        self.age(now).is_none_or(|age| age > self.rpo.as_secs_f64())
    }
}

/// The newest of all active jobs, by name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<Freshness>, Error> {
    let statement = statement!(
        "freshness.all",
        "select j.name, j.definition ->> 'rpo' as rpo, n.data_time, h.succeeded_at, h.seconds[1] as seconds, h.bytes[1] as bytes
         from job j left join job_health h on h.job_id = j.id
         cross join lateral (
             select max(p.data_time) as data_time from job_target jt
             cross join lateral (
                 select r.data_time from restore_point r
                 where r.job_id = j.id and r.target_id = jt.target_id and r.forgotten_at is null and r.source_errors = 0
                 order by r.data_time desc limit 1) p
             where jt.job_id = j.id) n
         where j.active order by j.name"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            let rpo: humantime::Duration = parsed(row, "rpo")?;
            Ok(Freshness {
                job: row.try_get("name")?,
                rpo: rpo.into(),
                data_time: row.try_get("data_time")?,
                succeeded_at: row.try_get("succeeded_at")?,
                seconds: row.try_get("seconds")?,
                bytes: row.try_get("bytes")?,
            })
        })
        .collect()
}
