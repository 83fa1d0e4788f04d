//! What nobody was told of yet: transitions of alerts (`alert_event`) that were not routed.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

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

/// The first transitions that were not routed, in their order.
pub async fn first(transaction: &Transaction<'_>, limit: i64) -> Result<Vec<Unrouted>, Error> {
    let statement = statement!(
        "unrouted.first",
        format!(
            "select e.id, e.transition, e.at, e.suppressed_by is not null as suppressed, {TOLD}
         from alert_event e join alert a on a.id = e.alert_id
             left join job j on j.id = a.job_id left join target t on t.id = a.target_id
         where e.routed_at is null order by e.id limit $1"
        )
    );
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
    statement.query(transaction, &[&limit]).await?.iter().map(unrouted).collect()
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
    /// When.
    pub told_at: DateTime<Utc>,
    /// Alerts with the same key are told together.
    pub group_key: String,
    /// Somebody has acknowledged it.
    pub acknowledged: bool,
    /// The alert as it is now.
    pub alert: Told,
}

/// What channels were told of alerts that are open and are not suppressed.
pub async fn standing<C: GenericClient>(client: &C) -> Result<Vec<Standing>, Error> {
    let statement = statement!(
        "unrouted.standing",
        format!(
            "select e.channel, e.event_id, e.repetition, e.told_at, a.acknowledged_at is not null as acknowledged, {TOLD}
         from alert a cross join channel c
             cross join lateral (
                 select t.*, a.severity, a.summary, n.created_at as told_at
                 from notification_event t join notification n on n.id = t.notification_id
                 where t.alert_id = a.id and t.channel = c.name
                 order by t.event_id desc, t.repetition desc limit 1) e
             left join job j on j.id = a.job_id left join target t on t.id = a.target_id
         where a.state = 'open' and a.suppressed_by is null and e.told <> 'resolved'"
        )
    );
    let standing = |row: &Row| {
        Ok(Standing {
            channel: row.try_get("channel")?,
            event: row.try_get("event_id")?,
            repetition: row.try_get("repetition")?,
            told_at: row.try_get("told_at")?,
            group_key: row.try_get("group_key")?,
            acknowledged: row.try_get("acknowledged")?,
            alert: told(row)?,
        })
    };
    statement.query(client, &[]).await?.iter().map(standing).collect()
}

fn told(row: &Row) -> Result<Told, Error> {
    let (job, target): (Option<&str>, Option<&str>) = (row.try_get("job")?, row.try_get("target")?);
    Ok(Told {
        id: row.try_get("alert_id")?,
        rule: parsed(row, "rule")?,
        severity: parsed(row, "severity")?,
        subject: row.try_get("subject")?,
        job: job.map(|_| parsed(row, "job")).transpose()?,
        target: target.map(|_| parsed(row, "target")).transpose()?,
        owner: row.try_get("owner")?,
        tags: from_json(row, "tags")?,
        summary: row.try_get("summary")?,
        detail: row.try_get("detail")?,
        opened_at: row.try_get("opened_at")?,
        resolved_at: row.try_get("resolved_at")?,
    })
}
