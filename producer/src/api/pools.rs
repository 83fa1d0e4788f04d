//! Pools: their slots, and whether they start anything.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use shared::access::Role;
use shared::db;
use shared::db::pool_setting::{Change, PoolState};
use shared::task::TaskKind;
use utoipa::ToSchema;

use super::Api;
use super::body::Body;
use super::openapi::{Refusals, words};
use crate::operations::pools::{self, MOST_SLOTS, Which};
use shared::http::Problem;
use shared::http::caller::{Operator, actor};
use shared::http::parameters::{Path, Query};

/// What pools are told; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolChange {
    /// How many tasks the pool of each of these workers runs at once; null leaves it to their configuration again.
    #[serde(default)]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 30_000)]
    slots: Told<i32>,
    /// What they are to do: take tasks and run them; start nothing more; or give back what runs as well. Null leaves it
    /// to what all workers are told.
    #[serde(default)]
    #[schema(schema_with = states)]
    state: Told<PoolState>,
}

fn states() -> utoipa::openapi::schema::Schema {
    words(PoolState::ALL.iter().map(|state| state.as_str()))
}

/// A field of which null says something else than its absence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Told<T> {
    /// It is absent.
    #[default]
    Nothing,
    /// It is null, or has a value.
    Something(Option<T>),
}

impl<T> Told<T> {
    #[expect(clippy::option_option, reason = "as a change of settings has it")]
    fn change(self) -> Option<Option<T>> {
        match self {
            Self::Nothing => None,
            Self::Something(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Told<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Option::deserialize(value).map(Self::Something)
    }
}

/// Whose pools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    worker: Option<String>,
}

/// Tells the pools of a kind something; workers follow within two seconds.
#[utoipa::path(patch, path = "/pools/{kind}", tag = "pools", request_body = PoolChange,
    params(("kind" = String, Path, description = "The kind of its tasks", example = "backup"),
        ("worker" = Option<String>, Query, description = "Only that of one worker")),
    responses((status = 204, description = "They are told"), Refusals))]
pub(super) async fn change(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(kind): Path<TaskKind>,
    Query(whose): Query<Whose>,
    Body { value, .. }: Body<PoolChange>,
) -> Result<StatusCode, Problem> {
    if value.slots == Told::Nothing && value.state == Told::Nothing {
        let why = format!("nothing to change: give slots (1 to {MOST_SLOTS}) or state");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    // How much goes on at once is for the same people as limits.
    if value.slots != Told::Nothing && token.role < Role::Admin {
        let why = format!(
            "the token {:?} has the role {}, admin is needed to change slots",
            token.name, token.role
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let change = Change { slots: value.slots.change(), state: value.state.change() };
    let which = Which { kind, worker: whose.worker.as_deref() };
    pools::change(&transaction, which, change, &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has pools that were paused or drained go on; of all workers, also those that were told something themselves.
#[utoipa::path(post, path = "/pools/{kind}/resume", tag = "pools",
    params(("kind" = String, Path, description = "The kind of its tasks", example = "backup"),
        ("worker" = Option<String>, Query, description = "Only that of one worker")),
    responses((status = 204, description = "They go on"), Refusals))]
pub(super) async fn resume(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(kind): Path<TaskKind>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let which = Which { kind, worker: whose.worker.as_deref() };
    pools::resume(&transaction, which, &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}
