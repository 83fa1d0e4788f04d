//! Table `idempotency`: answers to requests that may come again.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::Error;
use super::statement::statement;

/// What is known of a request by its key.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Nothing: it is to be done now.
    New,
    /// It was answered.
    Answered {
        /// What it asked for, hashed.
        fingerprint: Vec<u8>,
        /// The status of the answer.
        status: u16,
        /// Its body.
        answer: Value,
    },
}

/// Takes a key for a request, or finds the answer to the one that had it first; a request under way is waited for.
pub async fn take(
    transaction: &Transaction<'_>,
    token: Uuid,
    key: &str,
    fingerprint: &[u8],
) -> Result<Known, Error> {
    let statement = statement!(
        "idempotency.take",
        "insert into idempotency (token_id, key, fingerprint) values ($1, $2, $3) on conflict do nothing"
    );
    if statement.execute(transaction, &[&token, &key, &fingerprint]).await? == 1 {
        return Ok(Known::New);
    }
    let statement = statement!(
        "idempotency.stored",
        "select fingerprint, status, answer from idempotency where token_id = $1 and key = $2"
    );
    let row = statement.query_one(transaction, &[&token, &key]).await?;
    let Json(answer) = row.try_get("answer")?;
    let status: i16 = row.try_get("status")?;
    Ok(Known::Answered {
        fingerprint: row.try_get("fingerprint")?,
        status: u16::try_from(status).unwrap_or_default(),
        answer,
    })
}

/// Keeps the answer to a request whose key was taken in this transaction.
pub async fn answer(
    transaction: &Transaction<'_>,
    token: Uuid,
    key: &str,
    status: u16,
    answer: &Value,
) -> Result<(), Error> {
    let statement = statement!(
        "idempotency.answer",
        "update idempotency set status = $3, answer = $4 where token_id = $1 and key = $2"
    );
    let status = i16::try_from(status).unwrap_or_default();
    statement.execute(transaction, &[&token, &key, &status, &Json(answer)]).await?;
    Ok(())
}

/// Which are old, after so many seconds.
pub(super) const OLD: &str = "at < now() - make_interval(secs => $1)";

/// Forgets answers of longer ago than this, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, after: Duration, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "idempotency.sweep",
        format!(
            "delete from idempotency where ctid = any(array(select ctid from idempotency where {OLD} limit $2))"
        )
    );
    Ok(statement.execute(client, &[&after.as_secs_f64(), &limit]).await?)
}
