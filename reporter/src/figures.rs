//! What is made of rollups: the figures of the last day, week and month.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::GenericClient;
use shared::db::Error;
use shared::db::rollup;
use shared::job::JobId;

pub use shared::figures::{Durations, Figures};

/// A period that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its name.
    pub name: &'static str,
    /// Its length in hours.
    hours: i64,
}

/// The periods that are shown.
pub const PERIODS: [Period; 3] = [
    Period { name: "day", hours: 24 },
    Period { name: "week", hours: 7 * 24 },
    Period { name: "month", hours: 30 * 24 },
];

impl Period {
    /// When it began.
    #[must_use]
    pub fn since(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - TimeDelta::hours(self.hours)
    }
}

/// Reads the figures of the hours that began after `since`, of all jobs or of one.
///
/// # Errors
/// The database's.
pub async fn read<C: GenericClient>(
    client: &C,
    since: DateTime<Utc>,
    job: Option<JobId>,
) -> Result<Figures, Error> {
    Ok(Figures::of(&rollup::slices(client, since, job).await?))
}
