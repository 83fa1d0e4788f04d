//! Table `alert_event`: each change of an alert's life, written in the transaction that makes it.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::statement::statement;
use super::{Error, parsed};
use crate::alert::{AlertId, Severity, SuppressedBy, Transition};
use crate::job::JobId;

/// A change in an alert's life.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Event {
    /// Whose life.
    pub alert: AlertId,
    /// What changed.
    pub transition: Transition,
    /// How bad it was then.
    pub severity: Severity,
    /// What was wrong then.
    pub summary: String,
    /// Who did it; nobody where it came by itself.
    pub by: Option<String>,
    /// What they said.
    pub note: Option<String>,
    /// Why nobody was to be told.
    pub suppressed_by: Option<SuppressedBy>,
}

/// Writes changes, in their order and at one moment.
pub async fn insert(transaction: &Transaction<'_>, at: DateTime<Utc>, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let statement = statement!(
        "alert_event.insert",
        "insert into alert_event (at, alert_id, transition, severity, summary, by, note, suppressed_by)
         select $1, * from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])"
    );
    let alerts: Vec<i64> = events.iter().map(|event| event.alert.0).collect();
    let transitions: Vec<&str> = events.iter().map(|event| event.transition.as_str()).collect();
    let severities: Vec<&str> = events.iter().map(|event| event.severity.as_str()).collect();
    let summaries: Vec<&str> = events.iter().map(|event| event.summary.as_str()).collect();
    let by: Vec<Option<&str>> = events.iter().map(|event| event.by.as_deref()).collect();
    let notes: Vec<Option<&str>> = events.iter().map(|event| event.note.as_deref()).collect();
    let suppressed: Vec<Option<String>> =
        events.iter().map(|event| event.suppressed_by.as_ref().map(ToString::to_string)).collect();
    statement
        .execute(
            transaction,
            &[&at, &alerts, &transitions, &severities, &summaries, &by, &notes, &suppressed],
        )
        .await?;
    Ok(())
}

/// The history of an alert, with its times, the oldest first.
pub async fn of_alert<C: GenericClient>(
    client: &C,
    alert: AlertId,
) -> Result<Vec<(DateTime<Utc>, Event)>, Error> {
    let statement =
        statement!("alert_event.of_alert", "select * from alert_event where alert_id = $1 order by id");
    let rows = statement.query(client, &[&alert.0]).await?;
    rows.iter()
        .map(|row| {
            let suppressed_by: Option<&str> = row.try_get("suppressed_by")?;
            let event = Event {
                alert,
                transition: parsed(row, "transition")?,
                severity: parsed(row, "severity")?,
                summary: row.try_get("summary")?,
                by: row.try_get("by")?,
                note: row.try_get("note")?,
                suppressed_by: suppressed_by.map(|_| parsed(row, "suppressed_by")).transpose()?,
            };
            Ok((row.try_get("at")?, event))
        })
        .collect()
}

/// Changes of one kind and severity in a period.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// The kind.
    pub transition: Transition,
    /// How bad the alerts were then.
    pub severity: Severity,
    /// How many.
    pub count: i64,
}

/// Counts the changes of a period, of some jobs' alerts or of all.
pub async fn tally<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    jobs: Option<&[JobId]>,
) -> Result<Vec<Tally>, Error> {
    let statement = statement!("alert_event.tally", "select e.transition, e.severity, count(*) as count from alert_event e join alert a on a.id = e.alert_id
         where e.at >= $1 and e.at < $2 and ($3::integer[] is null or a.job_id = any($3)) group by 1, 2 order by 1, 2");
    let jobs: Option<Vec<i32>> = jobs.map(|jobs| jobs.iter().map(|job| job.0).collect());
    let rows = statement.query(client, &[&from, &to, &jobs]).await?;
    rows.iter()
        .map(|row| {
            Ok(Tally {
                transition: parsed(row, "transition")?,
                severity: parsed(row, "severity")?,
                count: row.try_get("count")?,
            })
        })
        .collect()
}
