//! Notifications as people see them.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{State, Telling};
use crate::alert::AlertId;
use crate::channel::ChannelName;
use crate::db::statement::statement;
use crate::db::{Error, from_json, parsed};

/// A notification as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its identity.
    pub id: Uuid,
    /// By which channel.
    pub channel: String,
    /// Where it is in its life.
    pub state: State,
    /// How many attempts were begun.
    pub attempts: i32,
    /// When the next one begins.
    pub next_at: Option<DateTime<Utc>>,
    /// Since when it is in the outbox.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// What is said of each of its transitions.
    pub events: Vec<Value>,
    /// What the report that it brings is called.
    pub report: Option<String>,
}

/// What a channel was told of one alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfAlert {
    /// In which notification.
    pub id: Uuid,
    /// Which channel.
    pub channel: String,
    /// How.
    pub told: Telling,
    /// Where the notification is in its life.
    pub state: State,
    /// Since when it is in the outbox.
    pub created_at: DateTime<Utc>,
}

/// What channels were told of an alert, in that order, at most `limit`.
pub async fn of_alert<C: GenericClient>(
    client: &C,
    alert: AlertId,
    limit: i64,
) -> Result<Vec<OfAlert>, Error> {
    let statement = statement!(
        "notification.of_alert",
        "select n.id, n.channel, e.told, n.state, n.created_at
         from notification_event e join notification n on n.id = e.notification_id
         where e.alert_id = $1 order by e.event_id, e.repetition, n.channel limit $2"
    );
    let rows = statement.query(client, &[&alert.0, &limit]).await?;
    let of_alert = |row: &Row| {
        Ok(OfAlert {
            id: row.try_get("id")?,
            channel: row.try_get("channel")?,
            told: parsed(row, "told")?,
            state: parsed(row, "state")?,
            created_at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(of_alert).collect()
}

/// Which notifications are meant; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// By this channel.
    pub channel: Option<ChannelName>,
}

/// The newest notifications.
pub async fn newest<C: GenericClient>(client: &C, filter: &Filter, limit: i64) -> Result<Vec<Listed>, Error> {
    let statement = statement!(
        "notification.newest",
        "select id, channel, state, attempts, next_at, created_at, ended_at, last_error,
             (select title from report r where r.id = n.report_id) as report,
             (select coalesce(json_agg(content order by event_id, repetition), '[]')
                 from notification_event e where e.notification_id = n.id) as events
         from notification n
         where ($1::text is null or state = $1) and ($2::text is null or channel = $2)
         order by created_at desc, id desc limit $3"
    );
    let channel = filter.channel.as_ref().map(ChannelName::as_str);
    let rows = statement.query(client, &[&filter.state.map(State::as_str), &channel, &limit]).await?;
    let listed = |row: &Row| {
        Ok(Listed {
            id: row.try_get("id")?,
            channel: row.try_get("channel")?,
            state: parsed(row, "state")?,
            attempts: row.try_get("attempts")?,
            next_at: row.try_get("next_at")?,
            created_at: row.try_get("created_at")?,
            ended_at: row.try_get("ended_at")?,
            last_error: row.try_get("last_error")?,
            events: from_json(row, "events")?,
            report: row.try_get("report")?,
        })
    };
    rows.iter().map(listed).collect()
}

/// How many notifications wait, and for how long the oldest of them does, in seconds.
pub async fn waiting<C: GenericClient>(client: &C) -> Result<(i64, f64), Error> {
    let statement = statement!(
        "notification.waiting",
        "select count(*), coalesce(extract(epoch from now() - min(created_at)), 0)::float8
         from notification where state = 'waiting'"
    );
    let row = statement.query_one(client, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
