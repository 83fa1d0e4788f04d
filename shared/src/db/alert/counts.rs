//! How many alerts there are: the same figures for the metrics, what is read over HTTP, and reports.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;

use super::super::statement::statement;
use super::super::{Error, parsed};
use crate::alert::{Rule, Severity};
use crate::job::JobId;

/// Alerts of one rule and one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// Their rule.
    pub rule: Rule,
    /// How bad they are.
    pub severity: Severity,
    /// `pending`, `open`, or `acknowledged` where somebody knows about them.
    pub state: &'static str,
    /// Whether nobody is told about them.
    pub suppressed: bool,
    /// How many.
    pub alerts: i64,
}

/// The states of a [`Count`].
pub const COUNTED: [&str; 3] = ["pending", "open", "acknowledged"];

/// Counts the alerts that are not over, of some jobs or of all and of everything else.
pub async fn counts<C: GenericClient>(client: &C, jobs: Option<&[JobId]>) -> Result<Vec<Count>, Error> {
    let statement = statement!(
        "alert.counts",
        "select rule, severity, case when state = 'pending' then 1 when acknowledged_at is null then 2 else 3 end as state, \
             suppressed_by is not null as suppressed, count(*) as alerts
         from alert where state <> 'resolved' and ($1::integer[] is null or job_id = any($1)) group by 1, 2, 3, 4"
    );
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    let rows = statement.query(client, &[&jobs]).await?;
    rows.iter()
        .map(|row| {
            let [pending, open, acknowledged] = COUNTED;
            let state = match row.try_get("state")? {
                1 => pending,
                2 => open,
                _ => acknowledged,
            };
            Ok(Count {
                rule: parsed(row, "rule")?,
                severity: parsed(row, "severity")?,
                state,
                suppressed: row.try_get("suppressed")?,
                alerts: row.try_get("alerts")?,
            })
        })
        .collect()
}

/// How many of some alerts are in one of the states [`COUNTED`], by severity.
#[must_use]
pub fn by_severity(counts: &[Count], state: &str) -> BTreeMap<Severity, i64> {
    let count = |severity| {
        let such = counts.iter().filter(|count| count.state == state && count.severity == severity);
        such.map(|count| count.alerts).sum()
    };
    Severity::ALL.iter().map(|&severity| (severity, count(severity))).collect()
}
