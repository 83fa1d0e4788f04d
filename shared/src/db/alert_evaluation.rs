//! Table `alert_evaluation`: how far executions are folded into what alerts rest on, and when the rules were looked at last.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::execution::Xact;
use super::statement::statement;
use super::{Error, parsed};

/// Up to which transaction all is folded, `None` before the first time. Nobody else folds until this transaction ends.
pub async fn lock(transaction: &Transaction<'_>) -> Result<Option<Xact>, Error> {
    let statement =
        statement!("alert_evaluation.lock", "select folded::text as folded from alert_evaluation for update");
    let row = statement.query_one(transaction, &[]).await?;
    let folded: Option<&str> = row.try_get("folded")?;
    if folded.is_some() { Ok(Some(Xact(parsed(&row, "folded")?))) } else { Ok(None) }
}

/// Writes down that everything below a transaction is folded, together with what it was folded into.
pub async fn advance(transaction: &Transaction<'_>, folded: Xact) -> Result<(), Error> {
    let statement =
        statement!("alert_evaluation.advance", "update alert_evaluation set folded = $1::text::xid8");
    statement.execute(transaction, &[&folded.0.to_string()]).await?;
    Ok(())
}

/// Writes down that the rules were looked at, and how long it took.
pub async fn finish(transaction: &Transaction<'_>, at: DateTime<Utc>, took: Duration) -> Result<(), Error> {
    let statement =
        statement!("alert_evaluation.finish", "update alert_evaluation set evaluated_at = $1, seconds = $2");
    statement.execute(transaction, &[&at, &took.as_secs_f64()]).await?;
    Ok(())
}

/// The last look at the rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// How long ago it was, in seconds.
    pub age: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The last look at the rules; `None` before the first.
pub async fn last<C: GenericClient>(client: &C) -> Result<Option<Evaluation>, Error> {
    let statement = statement!(
        "alert_evaluation.last",
        "select extract(epoch from now() - evaluated_at)::float8 as age, seconds from alert_evaluation
         where evaluated_at is not null and seconds is not null"
    );
    let row = statement.query_opt(client, &[]).await?;
    row.map(|row| Ok(Evaluation { age: row.try_get("age")?, seconds: row.try_get("seconds")? })).transpose()
}
