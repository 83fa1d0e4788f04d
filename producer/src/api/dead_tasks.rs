//! Dead tasks: a person decides about each.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use shared::db;
use shared::db::dead_task::{self, DeadState, Filter};
use shared::task::TaskId;
use uuid::Uuid;

use super::Api;
use super::answers::Enqueued;
use super::idempotency::IdempotencyKey;
use super::openapi::Refusals;
use crate::events;
use crate::operations::{Refused, dead};
use shared::http::Problem;
use shared::http::caller::{Operator, actor};
use shared::http::parameters::Path;

/// Does a dead task again, as a new one.
#[utoipa::path(post, path = "/dead-tasks/{id}/replay", tag = "dead tasks",
    params(("id" = Uuid, Path, description = "The dead task's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key means the same request, for 7 days",
            min_length = 1, max_length = 200)),
    responses((status = 201, description = "The new task", body = Enqueued), Refusals))]
pub(super) async fn replay(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let once = match key.take(&transaction, &token, &[b"dead-tasks/replay", id.as_bytes()]).await? {
        Ok(once) => once,
        Err(answered) => return Ok(answered),
    };
    let (id, actor) = (TaskId(id), actor(&token));
    let new = match dead::replay(&transaction, &[id], &actor).await?.pop() {
        Some((_, Ok(new))) => new,
        Some((_, Err(why))) => return Err(Refused::Conflict(why).into()),
        None => return Err(settled(&transaction, id).await?.into()),
    };
    let response = once.answer(transaction, StatusCode::CREATED, &Enqueued::new(new)).await?;
    events::task_replayed(id, new, &actor.name);
    Ok(response)
}

/// Writes down that nobody wants a dead task any more.
#[utoipa::path(delete, path = "/dead-tasks/{id}", tag = "dead tasks",
    params(("id" = Uuid, Path, description = "The dead task's id")),
    responses((status = 204, description = "It is dropped"), Refusals))]
pub(super) async fn discard(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let (id, actor) = (TaskId(id), actor(&token));
    let Some(dropped) = dead::drop(&transaction, &[id], &actor).await?.pop() else {
        return Err(settled(&transaction, id).await?.into());
    };
    transaction.commit().await.map_err(db::Error::from)?;
    events::task_dropped(&dropped, &actor.name);
    Ok(StatusCode::NO_CONTENT)
}

/// Why a task is not among those that nobody has decided about.
async fn settled(transaction: &deadpool_postgres::Transaction<'_>, id: TaskId) -> Result<Refused, db::Error> {
    let filter = Filter { ids: vec![id], ..Filter::default() };
    let known = dead_task::list(transaction, &filter, true, 1).await?.pop();
    Ok(match known.map(|stored| stored.state) {
        Some(DeadState::Replayed) => Refused::Conflict("it was replayed already".to_owned()),
        Some(DeadState::Dropped) => Refused::Conflict("it was dropped already".to_owned()),
        Some(DeadState::Open) => {
            Refused::Conflict("somebody else decides about it now: try again".to_owned())
        }
        None => Refused::Missing(format!("no dead task has the id {id}")),
    })
}
