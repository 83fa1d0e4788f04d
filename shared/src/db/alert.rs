//! Table `alert`: what is wrong, and what was until lately. The leader among the reporters moves alerts through their lives; people
//! acknowledge them.

mod counts;
mod list;
mod old;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::Row;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, parsed};
use crate::alert::{AlertId, Rule, Severity, State, SuppressedBy, Tag};
use crate::job::JobId;
use crate::target::TargetId;

pub use counts::{COUNTED, Count, by_severity, counts};
pub use list::{Filter, list};
pub(super) use old::OLD;
pub use old::{is_sweep_due, sweep};

/// An alert.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Alert {
    /// Its number.
    pub id: AlertId,
    /// What it is about.
    #[serde(flatten)]
    pub about: About,
    /// Where it is in its life.
    #[serde(flatten)]
    pub life: Life,
}

/// Where an alert is in its life.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Life {
    /// Whether it is wrong.
    pub state: State,
    /// Since when it is wrong, as far as anybody looked.
    pub since: DateTime<Utc>,
    /// When it was opened for the first time.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub resolved_at: Option<DateTime<Utc>>,
    /// How often it came back after that.
    pub reopened: i32,
    /// Who knows about it.
    pub acknowledged: Option<Acknowledged>,
    /// Why nobody is told about it; of one that is over, why nobody was.
    pub suppressed_by: Option<SuppressedBy>,
}

/// What an alert is about, as its rule finds it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct About {
    /// What is wrong: the rule, a slash, and with what. There is one alert at most that is not over.
    pub cause: String,
    /// By which rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// With what it is, for people: the name of a job, a target, a worker.
    pub subject: String,
    /// The job.
    #[serde(skip)]
    pub job: Option<JobId>,
    /// The target.
    #[serde(skip)]
    pub target: Option<TargetId>,
    /// Who answers for the job.
    pub owner: Option<String>,
    /// Alerts with the same key are told together: the rule, and an owner or a target.
    pub group_key: String,
    /// What is wrong, in a sentence.
    pub summary: String,
    /// What else is known of it.
    pub detail: Option<String>,
}

/// That somebody knows about an alert.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Acknowledged {
    /// When it was said.
    pub at: DateTime<Utc>,
    /// Who said so.
    pub by: String,
    /// What they said.
    pub note: Option<String>,
    /// Until when; without it, until the alert is over or gets worse.
    pub until: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "a.id, a.cause, a.rule, a.severity, a.state, a.subject, a.job_id, a.target_id, a.owner, a.group_key, \
     a.summary, a.detail, a.since, a.opened_at, a.resolved_at, a.reopened, a.acknowledged_at, a.acknowledged_by, \
     a.acknowledged_note, a.acknowledged_until, a.suppressed_by";

/// The alerts that are not over, and those that were over at most so long ago.
pub async fn current<C: GenericClient>(
    client: &C,
    resolved_within: Duration,
) -> Result<Readable<Alert, Unread>, Error> {
    let statement = statement!(
        "alert.current",
        format!(
            "select {COLUMNS} from alert a where a.state <> 'resolved'
         union all
         select {COLUMNS} from alert a where a.state = 'resolved' and a.resolved_at > now() - make_interval(secs => $1)"
        )
    );
    let rows = statement.query(client, &[&resolved_within.as_secs_f64()]).await?;
    let unread = |row: &Row| {
        let is_over = row.try_get::<_, &str>("state")? == State::Resolved.as_str();
        Ok(Unread { cause: row.try_get("cause")?, is_over })
    };
    Readable::each(&rows, unread, alert)
}

/// What is known of an alert of which no more can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What is wrong.
    pub cause: String,
    /// Whether it is over.
    pub is_over: bool,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// Writes alerts that are new; returns their numbers in the same order.
pub async fn insert(
    transaction: &Transaction<'_>,
    alerts: &[(&About, &Life)],
) -> Result<Vec<AlertId>, Error> {
    if alerts.is_empty() {
        return Ok(Vec::new());
    }
    let statement = statement!(
        "alert.insert",
        "insert into alert (cause, rule, severity, state, subject, job_id, target_id, owner, group_key, summary, \
             detail, since, opened_at, suppressed_by)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::integer[], \
             $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::text[])
         returning cause, id"
    );
    let columns = Columns::of(alerts);
    let about = || alerts.iter().map(|(about, _)| about);
    let causes: Vec<&str> = about().map(|about| about.cause.as_str()).collect();
    let rules: Vec<&str> = about().map(|about| about.rule.as_str()).collect();
    let subjects: Vec<&str> = about().map(|about| about.subject.as_str()).collect();
    let jobs: Vec<Option<i32>> = about().map(|about| about.job.map(|job| job.0)).collect();
    let targets: Vec<Option<i32>> = about().map(|about| about.target.map(|target| target.0)).collect();
    let rows = statement
        .query(
            transaction,
            &[
                &causes,
                &rules,
                &columns.severities,
                &columns.states,
                &subjects,
                &jobs,
                &targets,
                &columns.owners,
                &columns.group_keys,
                &columns.summaries,
                &columns.details,
                &columns.since,
                &columns.opened_at,
                &columns.suppressed_by,
            ],
        )
        .await?;
    let ids = rows.iter().map(|row| Ok((row.try_get("cause")?, AlertId(row.try_get("id")?))));
    let ids: HashMap<&str, AlertId> = ids.collect::<Result<_, Error>>()?;
    // Each was written, or nothing was.
    Ok(causes.iter().filter_map(|cause| ids.get(cause).copied()).collect())
}

/// Writes what has become of alerts. Who knows about one is not changed: people may say so at the same time.
pub async fn update(
    transaction: &Transaction<'_>,
    ids: &[AlertId],
    alerts: &[(&About, &Life)],
) -> Result<(), Error> {
    if alerts.is_empty() {
        return Ok(());
    }
    let statement = statement!(
        "alert.update",
        "update alert a set severity = n.severity, state = n.state, owner = n.owner, group_key = n.group_key, \
             summary = n.summary, detail = n.detail, since = n.since, opened_at = n.opened_at, resolved_at = n.resolved_at, \
             reopened = n.reopened, suppressed_by = n.suppressed_by
         from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
             $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::integer[], $12::text[])
             as n(id, severity, state, owner, group_key, summary, detail, since, opened_at, resolved_at, reopened, \
             suppressed_by)
         where a.id = n.id"
    );
    let columns = Columns::of(alerts);
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let resolved_at: Vec<Option<DateTime<Utc>>> = alerts.iter().map(|(_, life)| life.resolved_at).collect();
    let reopened: Vec<i32> = alerts.iter().map(|(_, life)| life.reopened).collect();
    statement
        .execute(
            transaction,
            &[
                &ids,
                &columns.severities,
                &columns.states,
                &columns.owners,
                &columns.group_keys,
                &columns.summaries,
                &columns.details,
                &columns.since,
                &columns.opened_at,
                &resolved_at,
                &reopened,
                &columns.suppressed_by,
            ],
        )
        .await?;
    Ok(())
}

/// Removes alerts that never opened.
pub async fn discard(transaction: &Transaction<'_>, ids: &[AlertId]) -> Result<(), Error> {
    let statement = statement!("alert.discard", "delete from alert where id = any($1) and state = 'pending'");
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    statement.execute(transaction, &[&ids]).await?;
    Ok(())
}

/// Writes down that somebody knows about an alert.
pub async fn acknowledge(
    transaction: &Transaction<'_>,
    id: AlertId,
    by: &str,
    note: Option<&str>,
    until: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let statement = statement!(
        "alert.acknowledge",
        "update alert set acknowledged_at = now(), acknowledged_by = $2, acknowledged_note = $3, \
             acknowledged_until = $4
         where id = $1"
    );
    statement.execute(transaction, &[&id.0, &by, &note, &until]).await?;
    Ok(())
}

/// Forgets what was known about alerts since these moments; returns of which, as what somebody has said later stays.
pub async fn unacknowledge(
    transaction: &Transaction<'_>,
    known: &[(AlertId, DateTime<Utc>)],
) -> Result<HashSet<AlertId>, Error> {
    let statement = statement!(
        "alert.unacknowledge",
        "update alert a set acknowledged_at = null, acknowledged_by = null, acknowledged_note = null, \
             acknowledged_until = null
         from unnest($1::bigint[], $2::timestamptz[]) as k(id, at) where a.id = k.id and a.acknowledged_at = k.at
         returning a.id"
    );
    let (ids, at): (Vec<i64>, Vec<DateTime<Utc>>) = known.iter().map(|(id, at)| (id.0, *at)).unzip();
    let rows = statement.query(transaction, &[&ids, &at]).await?;
    rows.iter().map(|row| Ok(AlertId(row.try_get("id")?))).collect()
}

/// Locks an alert until the transaction ends.
pub async fn lock(transaction: &Transaction<'_>, id: AlertId) -> Result<Option<Alert>, Error> {
    let statement =
        statement!("alert.lock", format!("select {COLUMNS} from alert a where a.id = $1 for update"));
    statement.query_opt(transaction, &[&id.0]).await?.as_ref().map(alert).transpose()
}

/// An alert.
pub async fn by_id<C: GenericClient>(client: &C, id: AlertId) -> Result<Option<Alert>, Error> {
    let statement = statement!("alert.by_id", format!("select {COLUMNS} from alert a where a.id = $1"));
    statement.query_opt(client, &[&id.0]).await?.as_ref().map(alert).transpose()
}

/// What routes go by beside the alert itself: the tags of the jobs of some alerts; those without any are absent.
pub async fn tags<C: GenericClient>(client: &C, ids: &[AlertId]) -> Result<Vec<(AlertId, Vec<Tag>)>, Error> {
    let statement = statement!(
        "alert.tags",
        "select a.id, array(select jsonb_array_elements_text(j.definition -> 'tags')) as tags
         from alert a join job j on j.id = a.job_id where a.id = any($1) and j.definition ? 'tags'"
    );
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(client, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            let tags: Vec<&str> = row.try_get("tags")?;
            let tags = tags.into_iter().map(str::parse).collect::<Result<_, _>>();
            let tags = tags.map_err(|error: crate::name::InvalidName| Error::Value {
                column: "tags",
                why: error.to_string(),
            })?;
            Ok((AlertId(row.try_get("id")?), tags))
        })
        .collect()
}

/// The values that both a new and a changed alert are written with.
struct Columns<'a> {
    severities: Vec<&'static str>,
    states: Vec<&'static str>,
    owners: Vec<Option<&'a str>>,
    group_keys: Vec<&'a str>,
    summaries: Vec<&'a str>,
    details: Vec<Option<&'a str>>,
    since: Vec<DateTime<Utc>>,
    opened_at: Vec<Option<DateTime<Utc>>>,
    suppressed_by: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    fn of(alerts: &[(&'a About, &'a Life)]) -> Self {
        let about = || alerts.iter().map(|(about, _)| *about);
        let life = || alerts.iter().map(|(_, life)| *life);
        Self {
            severities: about().map(|about| about.severity.as_str()).collect(),
            states: life().map(|life| life.state.as_str()).collect(),
            owners: about().map(|about| about.owner.as_deref()).collect(),
            group_keys: about().map(|about| about.group_key.as_str()).collect(),
            summaries: about().map(|about| about.summary.as_str()).collect(),
            details: about().map(|about| about.detail.as_deref()).collect(),
            since: life().map(|life| life.since).collect(),
            opened_at: life().map(|life| life.opened_at).collect(),
            suppressed_by: life().map(|life| life.suppressed_by.as_ref().map(ToString::to_string)).collect(),
        }
    }
}

fn alert(row: &Row) -> Result<Alert, Error> {
    let suppressed_by: Option<&str> = row.try_get("suppressed_by")?;
    let about = About {
        cause: row.try_get("cause")?,
        rule: parsed(row, "rule")?,
        severity: parsed(row, "severity")?,
        subject: row.try_get("subject")?,
        job: row.try_get::<_, Option<i32>>("job_id")?.map(JobId),
        target: row.try_get::<_, Option<i32>>("target_id")?.map(TargetId),
        owner: row.try_get("owner")?,
        group_key: row.try_get("group_key")?,
        summary: row.try_get("summary")?,
        detail: row.try_get("detail")?,
    };
    let life = Life {
        state: parsed(row, "state")?,
        since: row.try_get("since")?,
        opened_at: row.try_get("opened_at")?,
        resolved_at: row.try_get("resolved_at")?,
        reopened: row.try_get("reopened")?,
        acknowledged: acknowledged(row)?,
        suppressed_by: suppressed_by.map(|_| parsed(row, "suppressed_by")).transpose()?,
    };
    Ok(Alert { id: AlertId(row.try_get("id")?), about, life })
}

fn acknowledged(row: &Row) -> Result<Option<Acknowledged>, Error> {
    let (at, by) = (row.try_get("acknowledged_at")?, row.try_get("acknowledged_by")?);
    let (Some(at), Some(by)) = (at, by) else { return Ok(None) };
    let (note, until) = (row.try_get("acknowledged_note")?, row.try_get("acknowledged_until")?);
    Ok(Some(Acknowledged { at, by, note, until }))
}
