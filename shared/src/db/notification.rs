//! Tables `notification` and `notification_event`: what is to be told by channels, and was. Attempts are in `delivery`.
//!
//! A notification grows until its first attempt begins. From then on it is the same at each attempt, and has one owner until
//! its lease is over.

mod seen;

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::delivery::{Ended, Outcome};
use super::statement::statement;
use super::{Error, from_json, parsed};
use crate::alert::Severity;
use crate::channel::ChannelName;
use crate::name::text_enum;

pub use seen::{Filter, Listed, OfAlert, newest, of_alert, waiting};

text_enum! {
    /// Where a notification is in its life.
    State {
        /// It is to be delivered, or is being.
        Waiting = "waiting",
        /// The receiver has it.
        Delivered = "delivered",
        /// The receiver does not want it, or could not be reached for a day.
        GivenUp = "given_up",
    }
}

text_enum! {
    /// How a transition of an alert is told.
    Telling {
        /// It is wrong.
        Opened = "opened",
        /// It is wrong again.
        Reopened = "reopened",
        /// It is worse.
        Escalated = "escalated",
        /// It is wrong still.
        Repeated = "repeated",
        /// It is over.
        Resolved = "resolved",
    }
}

/// What a channel was told of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Of which.
    pub alert: i64,
    /// Which channel.
    pub channel: String,
    /// The last that it was told.
    pub told: Telling,
    /// How bad the alert was then; `None` if that is not known any more.
    pub severity: Option<Severity>,
    /// Whether the alert has come to an end since that the channel was not told of.
    pub over: bool,
    /// The first notification in which it was told of the alert.
    pub first: Uuid,
}

/// What the channels that there are were told of some alerts.
pub async fn last_told(transaction: &Transaction<'_>, alerts: &[i64]) -> Result<Vec<Last>, Error> {
    let statement = statement!(
        "notification.last_told",
        "select distinct on (n.alert_id, n.channel) n.alert_id, n.channel, n.told, e.severity,
             exists (select from alert_event r where r.alert_id = n.alert_id and r.id > n.event_id
                 and r.transition = 'resolved' and r.routed_at is not null) as over,
             first_value(notification_id) over (partition by n.alert_id, n.channel order by event_id, repetition) as first
         from notification_event n join channel c on c.name = n.channel left join alert_event e on e.id = n.event_id
         where n.alert_id = any($1)
         order by n.alert_id, n.channel, event_id desc, repetition desc"
    );
    let last = |row: &Row| {
        Ok(Last {
            alert: row.try_get("alert_id")?,
            channel: row.try_get("channel")?,
            told: parsed(row, "told")?,
            severity: parsed(row, "severity").ok(),
            over: row.try_get("over")?,
            first: row.try_get("first")?,
        })
    };
    statement.query(transaction, &[&alerts]).await?.iter().map(last).collect()
}

/// A notification to which more can be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbegun {
    /// Which.
    pub id: Uuid,
    /// By which channel.
    pub channel: String,
    /// Of which group.
    pub group_key: String,
    /// How many transitions it tells.
    pub events: i64,
}

/// Takes the newest notification of each channel and group that was not begun, so that it is not begun until the
/// transaction ends.
pub async fn take_unbegun(
    transaction: &Transaction<'_>,
    channels: &[&str],
    group_keys: &[&str],
) -> Result<Vec<Unbegun>, Error> {
    let statement = statement!(
        "notification.take_unbegun",
        "with taken as (
             select n.id, n.channel, n.group_key, n.created_at from notification n
             where n.state = 'waiting' and n.attempts = 0 and exists (
                 select from unnest($1::text[], $2::text[]) as w(channel, group_key)
                 where w.channel = n.channel and w.group_key = n.group_key)
             for update)
         select distinct on (channel, group_key) id, channel, group_key,
             (select count(*) from notification_event e where e.notification_id = taken.id) as events
         from taken order by channel, group_key, created_at desc, id desc"
    );
    let unbegun = |row: &Row| {
        Ok(Unbegun {
            id: row.try_get("id")?,
            channel: row.try_get("channel")?,
            group_key: row.try_get("group_key")?,
            events: row.try_get("events")?,
        })
    };
    statement.query(transaction, &[&channels, &group_keys]).await?.iter().map(unbegun).collect()
}

/// A notification that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// Its identity, for receivers as well.
    pub id: Uuid,
    /// By which channel.
    pub channel: String,
    /// Of which group.
    pub group_key: String,
    /// How long it waits for others of its group.
    pub wait: Duration,
}

/// Puts notifications into the outbox.
pub async fn insert(transaction: &Transaction<'_>, new: &[New]) -> Result<(), Error> {
    let statement = statement!(
        "notification.insert",
        "insert into notification (id, channel, group_key, next_at)
         select id, channel, group_key, now() + make_interval(secs => wait)
         from unnest($1::uuid[], $2::text[], $3::text[], $4::float8[]) as n(id, channel, group_key, wait)"
    );
    let ids: Vec<Uuid> = new.iter().map(|new| new.id).collect();
    let channels: Vec<&str> = new.iter().map(|new| new.channel.as_str()).collect();
    let group_keys: Vec<&str> = new.iter().map(|new| new.group_key.as_str()).collect();
    let waits: Vec<f64> = new.iter().map(|new| new.wait.as_secs_f64()).collect();
    statement.execute(transaction, &[&ids, &channels, &group_keys, &waits]).await?;
    Ok(())
}

/// Puts a report into the outbox of some channels, each once; returns how many are new. A channel that is not there, or is gone
/// when it is delivered, is given up then.
pub async fn bring(
    transaction: &Transaction<'_>,
    report: Uuid,
    channels: &[ChannelName],
) -> Result<u64, Error> {
    if channels.is_empty() {
        return Ok(0);
    }
    let statement = statement!("notification.bring", "insert into notification (id, channel, group_key, next_at, report_id)
         select id, channel, 'report/' || $3::uuid, now(), $3 from unnest($1::uuid[], $2::text[]) as n(id, channel)
         on conflict (report_id, channel) where report_id is not null do nothing");
    let ids: Vec<Uuid> = channels.iter().map(|_| Uuid::now_v7()).collect();
    let channels: Vec<&str> = channels.iter().map(ChannelName::as_str).collect();
    Ok(statement.execute(transaction, &[&ids, &channels, &report]).await?)
}

/// A transition that a notification tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// By which channel.
    pub channel: String,
    /// Which transition.
    pub event: i64,
    /// How often it was told before.
    pub repetition: i32,
    /// In which notification.
    pub notification: Uuid,
    /// Of which alert.
    pub alert: i64,
    /// How.
    pub told: Telling,
    /// What is said of it.
    pub content: Value,
}

/// Adds transitions to notifications that were not begun. One that its channel was told already is an error.
pub async fn add(transaction: &Transaction<'_>, events: &[Event]) -> Result<(), Error> {
    let statement = statement!(
        "notification.add",
        "insert into notification_event (channel, event_id, repetition, notification_id, alert_id, told, content)
         select * from unnest($1::text[], $2::bigint[], $3::integer[], $4::uuid[], $5::bigint[], $6::text[], $7::json[])"
    );
    let channels: Vec<&str> = events.iter().map(|event| event.channel.as_str()).collect();
    let numbers: Vec<i64> = events.iter().map(|event| event.event).collect();
    let repetitions: Vec<i32> = events.iter().map(|event| event.repetition).collect();
    let notifications: Vec<Uuid> = events.iter().map(|event| event.notification).collect();
    let alerts: Vec<i64> = events.iter().map(|event| event.alert).collect();
    let told: Vec<&str> = events.iter().map(|event| event.told.as_str()).collect();
    let contents: Vec<Json<&Value>> = events.iter().map(|event| Json(&event.content)).collect();
    let values: [&(dyn ToSql + Sync); 7] =
        [&channels, &numbers, &repetitions, &notifications, &alerts, &told, &contents];
    statement.execute(transaction, &values).await?;
    Ok(())
}

/// The channels that have something to deliver at this moment.
pub async fn due_channels<C: GenericClient>(client: &C) -> Result<Vec<String>, Error> {
    let statement = statement!(
        "notification.due_channels",
        "select distinct channel from notification where state = 'waiting' and next_at <= now()"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A notification whose attempt has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Which.
    pub id: Uuid,
    /// Which attempt, from 1.
    pub attempt: i32,
    /// How long ago its first attempt began.
    pub age: Duration,
    /// What is said of each of its transitions, in their order.
    pub events: Vec<Value>,
    /// The report that it brings; then it tells no transitions.
    pub report: Option<Uuid>,
}

/// Begins attempts of a channel, the oldest notifications first: nobody else begins another one of them within the lease. Those of a
/// group go one after the other, so that what is told last is true. Not to be used in a transaction: what is told is read after the
/// attempts are committed.
pub async fn claim<C: GenericClient>(
    client: &C,
    channel: &str,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Claimed>, Error> {
    let statement = statement!(
        "notification.claim",
        "with due as (
             select id from notification n
             where state = 'waiting' and channel = $1 and next_at <= now() and not exists (
                 select from notification e where e.state = 'waiting' and e.channel = n.channel and e.group_key = n.group_key
                     and (e.created_at, e.id) < (n.created_at, n.id))
             order by created_at, id limit $3 for update skip locked),
         begun as (
             update notification n set attempts = attempts + 1, next_at = now() + make_interval(secs => $2)
             from due where n.id = due.id
             returning n.id, n.attempts, n.report_id, (select coalesce(extract(epoch from now() - min(d.at)), 0)
                 from delivery d where d.notification_id = n.id)::float8 as age),
         logged as (insert into delivery (notification_id, attempt) select id, attempts from begun)
         select id, attempts, report_id, age from begun order by id"
    );
    let rows = statement.query(client, &[&channel, &lease.as_secs_f64(), &limit]).await?;
    // Only now: what the router added while they were taken is committed, and nothing is added to what has begun.
    let ids: Vec<Uuid> = rows.iter().map(|row| Ok(row.try_get("id")?)).collect::<Result<_, Error>>()?;
    let mut events = events_of(client, &ids).await?;
    let mut claimed = |row: &Row| {
        let (id, age): (Uuid, f64) = (row.try_get("id")?, row.try_get("age")?);
        Ok(Claimed {
            id,
            attempt: row.try_get("attempts")?,
            age: Duration::try_from_secs_f64(age).unwrap_or_default(),
            events: events.remove(&id).unwrap_or_default(),
            report: row.try_get("report_id")?,
        })
    };
    rows.iter().map(&mut claimed).collect()
}

/// What is said of the transitions of notifications, in their order.
async fn events_of<C: GenericClient>(
    client: &C,
    notifications: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Value>>, Error> {
    if notifications.is_empty() {
        return Ok(HashMap::new());
    }
    let statement = statement!(
        "notification.events_of",
        "select notification_id, content from notification_event where notification_id = any($1)
         order by event_id, repetition"
    );
    let mut events: HashMap<Uuid, Vec<Value>> = HashMap::new();
    for row in statement.query(client, &[&notifications]).await? {
        events.entry(row.try_get("notification_id")?).or_default().push(from_json(&row, "content")?);
    }
    Ok(events)
}

/// Ends an attempt. `again` says after what time there is another one; without it a notification that was not delivered is given
/// up. What a later attempt has delivered stays delivered.
pub async fn finish<C: GenericClient>(
    client: &C,
    id: Uuid,
    attempt: i32,
    ended: &Ended,
    again: Option<Duration>,
) -> Result<(), Error> {
    let statement = statement!(
        "notification.finish",
        "with logged as (
             update delivery set seconds = $3, outcome = $4, status = $5, error = $6
             where notification_id = $1 and attempt = $2 and outcome is null)
         update notification set state = $7, last_error = $6,
             next_at = case when $7 = 'waiting' then now() + make_interval(secs => $8) end,
             ended_at = case when $7 <> 'waiting' then now() end
         where id = $1 and state = 'waiting' and (attempts = $2 or $7 = 'delivered')"
    );
    let state = match (ended.outcome, again) {
        (Outcome::Delivered, _) => State::Delivered,
        (_, Some(_)) => State::Waiting,
        (_, None) => State::GivenUp,
    };
    let (outcome, state) = (ended.outcome.as_str(), state.as_str());
    let (status, again) = (ended.status.map(i32::from), again.unwrap_or_default().as_secs_f64());
    let values: [&(dyn ToSql + Sync); 8] =
        [&id, &attempt, &ended.seconds, &outcome, &status, &ended.error, &state, &again];
    statement.execute(client, &values).await?;
    Ok(())
}

/// Which are old: those that ended 90 days ago. What was told of an alert that is not over, or was not until lately, stays: whoever was
/// told of it waits for its end.
pub(super) const OLD: &str =
    "created_at < now() - interval '90 days' and ended_at < now() - interval '90 days'
     and not exists (select from notification_event e join alert a on a.id = e.alert_id
         where e.notification_id = notification.id
             and (a.state <> 'resolved' or a.resolved_at > now() - interval '90 days'))";

/// Removes notifications that are old with what they told and their attempts, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "notification.sweep",
        format!(
            "delete from notification where id in (
             select id from notification where {OLD} order by created_at limit $1)"
        )
    );
    Ok(statement.execute(client, &[&limit]).await?)
}
