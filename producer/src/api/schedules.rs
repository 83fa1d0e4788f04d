//! Schedules: paused, resumed, and run beside their due times.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use shared::db;
use shared::task::TaskKind;

use super::Api;
use super::answers::{Enqueued, EnqueuedTasks};
use super::idempotency::IdempotencyKey;
use super::openapi::Refusals;
use crate::operations::schedules::{self, Which};
use shared::http::Problem;
use shared::http::caller::{Operator, actor};
use shared::http::parameters::Path;

/// A schedule's place.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    kind: TaskKind,
    name: String,
}

impl Place {
    fn which(&self) -> Which<'_> {
        Which { kind: self.kind, name: &self.name }
    }
}

/// Has a schedule enqueue nothing until it is resumed.
#[utoipa::path(post, path = "/schedules/{kind}/{name}/pause", tag = "schedules",
    params(("kind" = String, Path, description = "What it enqueues", example = "backup"),
        ("name" = String, Path, description = "Its name, or its job's for all of the kind that it has; a slash in it is written %2F", example = "docs")),
    responses((status = 204, description = "It is paused"), Refusals))]
pub(super) async fn pause(
    state: State<Api>,
    caller: Operator,
    place: Path<Place>,
) -> Result<StatusCode, Problem> {
    set_paused(state, caller, place, true).await
}

/// Has a paused schedule go on; what was due meanwhile is caught up as it says.
#[utoipa::path(post, path = "/schedules/{kind}/{name}/resume", tag = "schedules",
    params(("kind" = String, Path, description = "What it enqueues", example = "backup"),
        ("name" = String, Path, description = "Its name, or its job's for all of the kind that it has; a slash in it is written %2F", example = "docs")),
    responses((status = 204, description = "It goes on"), Refusals))]
pub(super) async fn resume(
    state: State<Api>,
    caller: Operator,
    place: Path<Place>,
) -> Result<StatusCode, Problem> {
    set_paused(state, caller, place, false).await
}

async fn set_paused(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(place): Path<Place>,
    is_paused: bool,
) -> Result<StatusCode, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    schedules::pause(&transaction, place.which(), is_paused, &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enqueues the work of a schedule now, beside its due times.
#[utoipa::path(post, path = "/schedules/{kind}/{name}/run", tag = "schedules",
    params(("kind" = String, Path, description = "What it enqueues", example = "backup"),
        ("name" = String, Path, description = "Its name, or its job's for all of the kind that it has; a slash in it is written %2F", example = "docs"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key means the same request, for 7 days",
            min_length = 1, max_length = 200)),
    responses((status = 201, description = "Its tasks: one for each schedule that the name means", body = EnqueuedTasks), Refusals))]
pub(super) async fn run(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(place): Path<Place>,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let request: [&[u8]; 3] = [b"schedules/run", place.kind.as_str().as_bytes(), place.name.as_bytes()];
    let once = match key.take(&transaction, &token, &request).await? {
        Ok(once) => once,
        Err(answered) => return Ok(answered),
    };
    let tasks = schedules::run_now(&transaction, place.which(), &actor(&token)).await?;
    let tasks = tasks.into_iter().map(Enqueued::new).collect();
    once.answer(transaction, StatusCode::CREATED, &EnqueuedTasks { tasks }).await
}
