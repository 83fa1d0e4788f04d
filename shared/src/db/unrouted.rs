//! What nobody was told of yet: transitions of alerts (`alert_event`) that were not routed.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, from_json, parsed};
use crate::alert::{Rule, Severity, Tag, Transition};
use crate::job::JobName;
use crate::target::TargetName;

/// An alert as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Its number.
    pub id: i64,
    /// By which rule.
    pub rule: Rule,
    /// How bad it is, or was.
    pub severity: Severity,
    /// With what something is wrong, for people.
    pub subject: String,
    /// The job that it is about.
    pub job: Option<JobName>,
    /// The target that it is about.
    pub target: Option<TargetName>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The tags of its job.
    pub tags: Vec<Tag>,
    /// What is wrong, in a sentence.
    pub summary: String,
    /// More of it, where there is more.
    pub detail: Option<String>,
    /// Since when it is open.
    pub opened_at: DateTime<Utc>,
    /// Since when it is over.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// The columns of [`Told`] with an alert `a` that has been open; its severity and its summary are those of an event `e`.
const TOLD: &str = "a.id as alert_id, a.rule, e.severity, a.subject, j.name as job, t.name as target, a.owner,
     coalesce(j.definition -> 'tags', '[]') as tags, e.summary, a.detail, a.opened_at, a.resolved_at, a.group_key";

/// A transition that was not routed.
#[derive(Debug, Clone, PartialEq)]
pub struct Unrouted {
    /// Its number.
    pub event: i64,
    /// Which.
    pub transition: Transition,
    /// When.
    pub at: DateTime<Utc>,
    /// Nobody is to be told of it.
    pub suppressed: bool,
    /// Alerts with the same key are told together.
    pub group_key: String,
    /// Of which alert.
    pub alert: Told,
}

/// The first transitions that were not routed, in their order. Those of a kind, a rule or a severity that only a newer version knows wait
/// for one.
pub async fn first(transaction: &Transaction<'_>, limit: i64) -> Result<Vec<Unrouted>, Error> {
    let statement = statement!(
        "unrouted.first",
        format!(
            "select e.id, e.transition, e.at, e.suppressed_by is not null as suppressed, {TOLD}
         from alert_event e join alert a on a.id = e.alert_id
             left join job j on j.id = a.job_id left join target t on t.id = a.target_id
         where e.routed_at is null and e.transition = any($2) and a.rule = any($3) and e.severity = any($4)
         order by e.id limit $1"
        )
    );
    let transitions: Vec<&str> = Transition::ALL.iter().map(|transition| transition.as_str()).collect();
    let rules: Vec<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    let severities: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
    let unrouted = |row: &Row| {
        Ok(Unrouted {
            event: row.try_get("id")?,
            transition: parsed(row, "transition")?,
            at: row.try_get("at")?,
            suppressed: row.try_get("suppressed")?,
            group_key: row.try_get("group_key")?,
            alert: told(row)?,
        })
    };
    let rows = statement.query(transaction, &[&limit, &transitions, &rules, &severities]).await?;
    rows.iter().map(unrouted).collect()
}

/// Notes that transitions were routed.
pub async fn mark(transaction: &Transaction<'_>, events: &[i64]) -> Result<(), Error> {
    let statement = statement!(
        "unrouted.mark",
        "update alert_event set routed_at = now() where id = any($1) and routed_at is null"
    );
    let marked = statement.execute(transaction, &[&events]).await?;
    if marked == events.len() as u64 { Ok(()) } else { Err(Error::Moved(events.len() as u64 - marked)) }
}

/// An alert that is open and that a channel was told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// By which channel.
    pub channel: String,
    /// The transition that was told last, and how often it was told again.
    pub event: i64,
    /// How often it was told again.
    pub repetition: i32,
    /// When that came to its end, delivered or given up; `None` while it waits.
    pub ended_at: Option<DateTime<Utc>>,
    /// The notification in which the channel was told of the alert first.
    pub first: Uuid,
    /// Alerts with the same key are told together.
    pub group_key: String,
    /// Somebody has acknowledged it.
    pub acknowledged: bool,
    /// The alert as it is now.
    pub alert: Told,
}

/// What some channels were told of alerts that are open and are not suppressed.
pub async fn standing<C: GenericClient>(
    client: &C,
    channels: &[&str],
) -> Result<Readable<Standing, i64>, Error> {
    let statement = statement!(
        "unrouted.standing",
        format!(
            "select e.channel, e.event_id, e.repetition, e.ended_at, a.acknowledged_at is not null as acknowledged,
             (select f.notification_id from notification_event f where f.alert_id = a.id and f.channel = c.name
                 order by f.event_id, f.repetition limit 1) as first, {TOLD}
         from alert a cross join channel c
             cross join lateral (
                 select t.*, a.severity, a.summary, n.ended_at
                 from notification_event t join notification n on n.id = t.notification_id
                 where t.alert_id = a.id and t.channel = c.name
                 order by t.event_id desc, t.repetition desc limit 1) e
             left join job j on j.id = a.job_id left join target t on t.id = a.target_id
         where c.name = any($1) and a.state = 'open' and a.suppressed_by is null and e.told <> 'resolved'"
        )
    );
    let standing = |row: &Row| {
        Ok(Standing {
            channel: row.try_get("channel")?,
            event: row.try_get("event_id")?,
            repetition: row.try_get("repetition")?,
            ended_at: row.try_get("ended_at")?,
            first: row.try_get("first")?,
            group_key: row.try_get("group_key")?,
            acknowledged: row.try_get("acknowledged")?,
            alert: told(row)?,
        })
    };
    let rows = statement.query(client, &[&channels]).await?;
    Readable::each(&rows, |row| Ok(row.try_get("alert_id")?), standing)
}

/// What cannot be read of its job counts as absent: it is told without it rather than to nobody.
fn told(row: &Row) -> Result<Told, Error> {
    Ok(Told {
        id: row.try_get("alert_id")?,
        rule: parsed(row, "rule")?,
        severity: parsed(row, "severity")?,
        subject: row.try_get("subject")?,
        job: parsed(row, "job").ok(),
        target: parsed(row, "target").ok(),
        owner: row.try_get("owner")?,
        tags: from_json(row, "tags").unwrap_or_default(),
        summary: row.try_get("summary")?,
        detail: row.try_get("detail")?,
        opened_at: row.try_get("opened_at")?,
        resolved_at: row.try_get("resolved_at")?,
    })
}
