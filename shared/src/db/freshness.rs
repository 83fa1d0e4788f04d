//! How recent, how large and how quick the backups of jobs are, for whoever watches all of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;

use super::statement::statement;
use super::{Error, parsed, restore_point};

/// The newest of a job's backups.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    /// The job's name.
    pub job: String,
    /// What it may lose at most: its recovery point objective.
    pub rpo: Duration,
    /// When it was defined.
    pub created_at: DateTime<Utc>,
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

    /// Whether there is none that is as new as it has to be. A job that never had one has its whole RPO for the first, from its definition on.
    #[must_use]
    pub fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        let since = self.data_time.unwrap_or(self.created_at);
        (now - since).as_seconds_f64() > self.rpo.as_secs_f64()
    }
}

/// The newest of all active jobs, by name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<Freshness>, Error> {
    let statement = statement!(
        "freshness.all",
        format!(
            "select j.name, j.definition ->> 'rpo' as rpo, j.created_at, n.data_time, h.succeeded_at, h.seconds[1] as seconds,
             h.bytes[1] as bytes
         from job j left join job_health h on h.job_id = j.id {} where j.active order by j.name",
            restore_point::NEWEST_COMPLETE
        )
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            let rpo: humantime::Duration = parsed(row, "rpo")?;
            Ok(Freshness {
                job: row.try_get("name")?,
                rpo: rpo.into(),
                created_at: row.try_get("created_at")?,
                data_time: row.try_get("data_time")?,
                succeeded_at: row.try_get("succeeded_at")?,
                seconds: row.try_get("seconds")?,
                bytes: row.try_get("bytes")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RPO: Duration = Duration::from_hours(1);

    fn job(data_time: Option<i64>) -> Freshness {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        Freshness {
            job: "docs".to_owned(),
            rpo: RPO,
            created_at: at(1000),
            data_time: data_time.map(at),
            succeeded_at: None,
            seconds: None,
            bytes: None,
        }
    }

    #[test]
    fn a_job_is_overdue_when_its_rpo_has_passed_since_its_newest_restore_point_or_else_its_definition() {
        for (data_time, since) in [(None, 1000), (Some(500), 500), (Some(90_000), 90_000)] {
            let overdue = |second| job(data_time).is_overdue(DateTime::from_timestamp(second, 0).unwrap());
            assert!(!overdue(since), "{data_time:?}");
            assert!(!overdue(since + 3600), "{data_time:?}");
            assert!(overdue(since + 3601), "{data_time:?}");
        }
    }
}
