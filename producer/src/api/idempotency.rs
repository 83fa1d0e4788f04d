//! Requests that may come again: the same `Idempotency-Key` means the same request, and has the same answer.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::Transaction;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::db;
use shared::db::api_token::Token;
use shared::db::idempotency::{self, Known};

use shared::http::Problem;

const HEADER: &str = "idempotency-key";
/// The longest key, in bytes.
const LONGEST: usize = 200;

/// The key of a request, if it has one.
pub(super) struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(HEADER) else { return Ok(Self(None)) };
        match value.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= LONGEST => Ok(Self(Some(key.to_owned()))),
            _ => {
                let why = format!("use 1 to {LONGEST} visible ASCII characters");
                Err(Problem::field(StatusCode::BAD_REQUEST, "Idempotency-Key", why))
            }
        }
    }
}

/// A request with a key that was taken for it in a transaction.
pub(super) struct Once<'a> {
    token: &'a Token,
    key: Option<String>,
}

impl IdempotencyKey {
    /// Takes the key for a request; breaks off with the answer that the request has had already.
    pub(super) async fn take<'a>(
        self,
        transaction: &Transaction<'_>,
        token: &'a Token,
        request: &[&[u8]],
    ) -> Result<Result<Once<'a>, Response>, Problem> {
        let Some(key) = self.0 else { return Ok(Ok(Once { token, key: None })) };
        let mut hash = Sha256::new();
        for part in request {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let asked = hash.finalize();
        match idempotency::take(transaction, token.id, &key, &asked).await? {
            Known::New => Ok(Ok(Once { token, key: Some(key) })),
            Known::Answered { fingerprint, .. } if fingerprint != asked[..] => {
                let why = "another request has had this key; use a new one for each request";
                Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "Idempotency-Key", why))
            }
            Known::Answered { status, answer, .. } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                let mut response = (status, Json(answer)).into_response();
                response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
                Ok(Err(response))
            }
        }
    }
}

impl Once<'_> {
    /// Answers, and keeps the answer where the request has a key; commits both with what was done.
    pub(super) async fn answer<T: Serialize>(
        self,
        transaction: Transaction<'_>,
        status: StatusCode,
        answer: &T,
    ) -> Result<Response, Problem> {
        let body = serde_json::to_value(answer)
            .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        if let Some(key) = self.key {
            idempotency::answer(&transaction, self.token.id, &key, status.as_u16(), &body).await?;
        }
        transaction.commit().await.map_err(db::Error::from)?;
        Ok((status, Json(body)).into_response())
    }
}
