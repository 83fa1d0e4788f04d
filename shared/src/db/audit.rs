//! Table `audit`: what people and other systems changed.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::Error;
use super::statement::statement;

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
