//! Tasks: one, many at once, and their end.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use shared::access::{Holder, Role};
use shared::db;
use shared::db::api_token::Token;
use shared::job::JobName;
use shared::message::{self, Refusal};
use shared::task::{Priority, TaskId, TaskKind};
use shared::trace::TraceContext;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::answers::{Enqueued, EnqueuedTasks};
use super::body::Body;
use super::idempotency::IdempotencyKey;
use super::openapi::{Refusals, kinds, words_or_null};
use crate::operations::Refused;
use crate::operations::tasks::{self, Cancelled, Order};
use shared::http::Problem;
use shared::http::caller::{Operator, actor};
use shared::http::parameters::Path;
use shared::http::traced;

/// A task that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTask {
    /// Its id, which runs once; a new one when absent.
    id: Option<Uuid>,
    /// What to do; `maintain` is for admins.
    #[schema(schema_with = kinds)]
    kind: TaskKind,
    /// The job to do it for: needed by all kinds but `report` and `maintain`.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", example = "docs")]
    job: Option<JobName>,
    /// What the kind needs beside the job.
    #[serde(default)]
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// That of the job when absent.
    #[schema(schema_with = priorities)]
    priority: Option<Priority>,
    /// Not to be started earlier.
    not_before: Option<DateTime<Utc>>,
}

fn priorities() -> utoipa::openapi::schema::Schema {
    words_or_null(Priority::ALL.iter().map(|priority| priority.as_str()))
}

/// Tasks that are asked for, all or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTasks {
    /// 1 to 500.
    #[schema(min_items = 1, max_items = 500)]
    tasks: Vec<NewTask>,
}

/// What came of the wish to end a task.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ending {
    /// Its id.
    id: Uuid,
    /// Whether it has ended: one that runs is ended by its worker within seconds.
    has_ended: bool,
}

/// Enqueues a task.
#[utoipa::path(post, path = "/tasks", tag = "tasks", request_body = NewTask,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key means the same request, for 7 days",
        min_length = 1, max_length = 200)),
    responses((status = 201, description = "It is enqueued", body = Enqueued),
        (status = 200, description = "Its id is known already: it runs once", body = Enqueued), Refusals))]
pub(super) async fn enqueue(
    State(api): State<Api>,
    Operator(token): Operator,
    headers: HeaderMap,
    key: IdempotencyKey,
    Body { value, bytes }: Body<NewTask>,
) -> Result<Response, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let once = match key.take(&transaction, &token, &[b"tasks", &bytes]).await? {
        Ok(once) => once,
        Err(answered) => return Ok(answered),
    };
    let actor = actor(&token);
    let trace = traced::context(&headers);
    let order = value.order(&token, trace.as_ref()).map_err(|refusal| refused(None, &refusal))?;
    let id = order.message.id;
    let fresh = tasks::enqueue(&transaction, vec![order], &actor).await.map_err(|(_, why)| why)?;
    let enqueued = Enqueued { id: id.0, is_new: fresh.contains(&id) };
    let status = if enqueued.is_new { StatusCode::CREATED } else { StatusCode::OK };
    once.answer(transaction, status, &enqueued).await
}

/// Enqueues tasks, all or none.
#[utoipa::path(post, path = "/tasks/batch", tag = "tasks", request_body = NewTasks,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key means the same request, for 7 days",
        min_length = 1, max_length = 200)),
    responses((status = 201, description = "They are enqueued", body = EnqueuedTasks), Refusals))]
pub(super) async fn enqueue_batch(
    State(api): State<Api>,
    Operator(token): Operator,
    headers: HeaderMap,
    key: IdempotencyKey,
    Body { value, bytes }: Body<NewTasks>,
) -> Result<Response, Problem> {
    if value.tasks.is_empty() || value.tasks.len() > message::MAX_TASKS {
        let why = format!("{} tasks: use 1 to {}", value.tasks.len(), message::MAX_TASKS);
        return Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "tasks", why));
    }
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let once = match key.take(&transaction, &token, &[b"tasks/batch", &bytes]).await? {
        Ok(once) => once,
        Err(answered) => return Ok(answered),
    };
    let actor = actor(&token);
    let trace = traced::context(&headers);
    let (mut orders, mut wrong) = (Vec::with_capacity(value.tasks.len()), Vec::new());
    for (number, task) in value.tasks.into_iter().enumerate() {
        match task.order(&token, trace.as_ref()) {
            Ok(order) => orders.push(order),
            Err(refusal) => wrong.push(field(Some(number), &refusal)),
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::fields(StatusCode::UNPROCESSABLE_ENTITY, wrong));
    }
    let ids: Vec<TaskId> = orders.iter().map(|order| order.message.id).collect();
    let fresh =
        tasks::enqueue(&transaction, orders, &actor).await.map_err(|(number, why)| of_task(number, why))?;
    let tasks = ids.iter().map(|id| Enqueued { id: id.0, is_new: fresh.contains(id) }).collect();
    once.answer(transaction, StatusCode::CREATED, &EnqueuedTasks { tasks }).await
}

/// Ends a task: one that waits at once, one that runs within seconds.
#[utoipa::path(post, path = "/tasks/{id}/cancel", tag = "tasks",
    params(("id" = Uuid, Path, description = "The task's id")),
    responses((status = 200, description = "It has ended", body = Ending),
        (status = 202, description = "Its worker is ending it", body = Ending), Refusals))]
pub(super) async fn cancel(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(id): Path<Uuid>,
) -> Result<Response, Problem> {
    let has_ended = tasks::cancel(&api.database, TaskId(id), &actor(&token)).await? == Cancelled::Ended;
    let status = if has_ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, axum::Json(Ending { id, has_ended })).into_response())
}

impl NewTask {
    /// The task as it would come over the wire, so that one place knows what a task may be.
    fn order(self, token: &Token, trace: Option<&TraceContext>) -> Result<Order, Refusal> {
        let may_be_above = token.holder == Holder::Person;
        if !self.kind.is_for_others() && token.role < Role::Admin {
            let why = format!("{}: the token has the role {}, admin is needed", self.kind, token.role);
            return Err(Refusal::UnknownKind(why));
        }
        let now = shared::clock::now();
        let message = json!({
            "version": message::VERSION,
            "id": self.id.unwrap_or_else(|| TaskId::generate().0),
            "kind": self.kind,
            "job": self.job,
            "enqueued_at": now,
            "requested_by": token.name,
            "not_before": self.not_before,
            "params": self.params,
        });
        match message::read(message.to_string().as_bytes(), trace, now).pop() {
            Some(Ok(message)) => Ok(Order { message, priority: self.priority, may_be_above }),
            Some(Err(refused)) => Err(refused.refusal),
            None => Err(Refusal::NotATask("no task was asked for".to_owned())),
        }
    }
}

/// The field that a refusal is about, and what is wrong with it.
fn field(number: Option<usize>, refusal: &Refusal) -> (String, String) {
    let text = refusal.to_string();
    let (field, why) = text.split_once(": ").unwrap_or(("", &text));
    let field = match number {
        Some(number) => format!("tasks[{number}].{field}"),
        None => field.to_owned(),
    };
    (field.trim_end_matches('.').to_owned(), why.to_owned())
}

fn refused(number: Option<usize>, refusal: &Refusal) -> Problem {
    let (field, why) = field(number, refusal);
    Problem::field(StatusCode::UNPROCESSABLE_ENTITY, field, why)
}

/// Says which task a refusal is about.
fn of_task(number: usize, refused: Refused) -> Problem {
    match refused {
        Refused::Missing(why) => Refused::Missing(format!("tasks[{number}].{why}")),
        Refused::Conflict(why) => Refused::Conflict(format!("tasks[{number}].{why}")),
        Refused::Invalid { field, why } => {
            Refused::Invalid { field: format!("tasks[{number}].{field}"), why }
        }
        Refused::Database(error) => Refused::Database(error),
    }
    .into()
}
