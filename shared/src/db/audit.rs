//! Table `audit`: what people and other systems changed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::statement::statement;
use super::{Error, from_json};

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of a token, or of a user of the machine.
    pub name: String,
    /// The token, where it came over HTTP.
    pub token: Option<Uuid>,
}

/// A change.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What was done, in one word such as `pause`.
    pub action: &'a str,
    /// To what kind of thing, such as `schedule`.
    pub subject: &'a str,
    /// To which.
    pub name: &'a str,
    /// What it was; none where it is new.
    pub before: Option<Value>,
    /// What it is; none where it is gone.
    pub after: Option<Value>,
}

/// Writes changes down, in the transaction that makes them.
pub async fn record(
    transaction: &Transaction<'_>,
    actor: &Actor,
    entries: &[Entry<'_>],
) -> Result<(), Error> {
    let statement = statement!(
        "audit.record",
        "insert into audit (actor, token_id, action, subject, name, before, after)
         select $1, $2, * from unnest($3::text[], $4::text[], $5::text[], $6::json[], $7::json[])"
    );
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action).collect();
    let subjects: Vec<&str> = entries.iter().map(|entry| entry.subject).collect();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    let before: Vec<Option<Json<&Value>>> =
        entries.iter().map(|entry| entry.before.as_ref().map(Json)).collect();
    let after: Vec<Option<Json<&Value>>> =
        entries.iter().map(|entry| entry.after.as_ref().map(Json)).collect();
    statement
        .execute(transaction, &[&actor.name, &actor.token, &actions, &subjects, &names, &before, &after])
        .await?;
    Ok(())
}

/// A change as it was written down.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Recorded {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: the name of a token, or of a user of a machine.
    pub actor: String,
    /// Whether it came over HTTP, with a token.
    pub over_http: bool,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub subject: String,
    /// To which.
    pub name: String,
    /// What it was.
    pub before: Option<Value>,
    /// What it is.
    pub after: Option<Value>,
}

/// The changes of a period, the newest first, at most `limit`.
pub async fn of_period<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    let statement = statement!(
        "audit.of_period",
        "select at, actor, token_id is not null as over_http, action, subject, name,
             coalesce(before, 'null') as before, coalesce(after, 'null') as after
         from audit where at >= $1 and at < $2 order by at desc, id desc limit $3"
    );
    let rows = statement.query(client, &[&from, &to, &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Recorded {
                at: row.try_get("at")?,
                actor: row.try_get("actor")?,
                over_http: row.try_get("over_http")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                name: row.try_get("name")?,
                before: from_json(row, "before")?,
                after: from_json(row, "after")?,
            })
        })
        .collect()
}

/// Changes of one kind by one actor in a period.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Who.
    pub actor: String,
    /// Whether they came over HTTP.
    pub over_http: bool,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub subject: String,
    /// How often.
    pub count: i64,
}

/// Counts the changes of a period, what was done most first.
pub async fn tally<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Tally>, Error> {
    let statement = statement!(
        "audit.tally",
        "select actor, token_id is not null as over_http, action, subject, count(*) as count
         from audit where at >= $1 and at < $2 group by 1, 2, 3, 4 order by count desc, 1, 3, 4, 2"
    );
    let rows = statement.query(client, &[&from, &to]).await?;
    rows.iter()
        .map(|row| {
            Ok(Tally {
                actor: row.try_get("actor")?,
                over_http: row.try_get("over_http")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                count: row.try_get("count")?,
            })
        })
        .collect()
}

/// Which are old, after so many seconds.
pub(super) const OLD: &str = "at < now() - make_interval(secs => $1)";

/// Forgets changes of longer ago than this, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, after: Duration, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "audit.sweep",
        format!("delete from audit where ctid = any(array(select ctid from audit where {OLD} limit $2))")
    );
    Ok(statement.execute(client, &[&after.as_secs_f64(), &limit]).await?)
}
