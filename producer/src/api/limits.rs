//! Limits in the place of those that the definitions say.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::db;
use shared::limit::{Key, Limit};
use utoipa::ToSchema;

use super::Api;
use super::body::Body;
use super::openapi::Refusals;
use crate::operations::limits;
use shared::http::Problem;
use shared::http::caller::{Admin, actor};
use shared::http::parameters::Path;

/// What limits a key; what is absent does not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLimit {
    /// How many tasks may start in a minute, on average.
    #[schema(minimum = 0.001, maximum = 60_000_000)]
    starts_per_minute: Option<f64>,
    /// How many may start at once after a pause.
    #[schema(minimum = 1)]
    burst: Option<u32>,
    /// How many may run at once.
    #[schema(minimum = 1)]
    concurrency: Option<u32>,
    /// How much they may read and write together on a target, in bytes.
    #[schema(minimum = 1)]
    bytes_per_second: Option<u64>,
    /// How much an owner gets compared with others.
    #[schema(minimum = 1, maximum = 100)]
    weight: Option<u32>,
    /// Whether the rate is never exceeded, at the price of asking the database for each few starts.
    #[serde(default)]
    #[schema(required = false)]
    strict: bool,
}

impl From<NewLimit> for Limit {
    fn from(new: NewLimit) -> Self {
        let NewLimit { starts_per_minute, burst, concurrency, bytes_per_second, weight, strict } = new;
        Self { starts_per_minute, burst, concurrency, bytes_per_second, weight, strict }
    }
}

/// Limits a key while everything runs, in the place of what the definitions say.
#[utoipa::path(put, path = "/limits/{key}", tag = "limits", request_body = NewLimit,
    params(("key" = String, Path, description = "`pool:KIND`, `target:NAME`, `source:FAILURE_DOMAIN` or `owner:NAME`",
        example = "pool:backup")),
    responses((status = 204, description = "It is limited"), Refusals))]
pub(super) async fn set(
    State(api): State<Api>,
    Admin(token): Admin,
    Path(key): Path<String>,
    Body { value, .. }: Body<NewLimit>,
) -> Result<StatusCode, Problem> {
    let key = parse(&key)?;
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    limits::set(&transaction, &key, value.into(), &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes away what was set while everything ran: what the definitions say counts again.
#[utoipa::path(delete, path = "/limits/{key}", tag = "limits",
    params(("key" = String, Path, description = "`pool:KIND`, `target:NAME`, `source:FAILURE_DOMAIN` or `owner:NAME`",
        example = "pool:backup")),
    responses((status = 204, description = "It is taken away"), Refusals))]
pub(super) async fn clear(
    State(api): State<Api>,
    Admin(token): Admin,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    let key = parse(&key)?;
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    limits::clear(&transaction, &key, false, &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse(key: &str) -> Result<Key, Problem> {
    key.parse()
        .map_err(|error: shared::limit::InvalidKey| Problem::new(StatusCode::NOT_FOUND, error.to_string()))
}
