//! Tasks: enqueued, and cancelled.

use std::collections::HashSet;
use std::time::Duration;

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db::task::{self, State};
use shared::db::{self, Database, lease};
use shared::job::JobName;
use shared::message::{Refusal, TaskMessage};
use shared::target::TargetName;
use shared::task::{Priority, Task, TaskId};
use shared::work::Work;
use tokio::time::sleep;

use super::{Actor, Entry, Refused, record};
use crate::{events, outbox};

/// How often a task is looked for that moves from waiting to running and back.
const LOOKS: u32 = 20;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A task that is asked for.
#[derive(Debug)]
pub(crate) struct Order {
    /// The task as it would come over the wire.
    pub(crate) message: TaskMessage,
    /// Its priority where it is not that of its job.
    pub(crate) priority: Option<Priority>,
}

/// Enqueues tasks, all or none; returns those whose ids were new. A refusal says which of them it is about, counted from 0.
pub(crate) async fn enqueue(
    transaction: &Transaction<'_>,
    orders: Vec<Order>,
    actor: &Actor,
) -> Result<HashSet<TaskId>, (usize, Refused)> {
    let first = |error| (0, Refused::Database(error));
    let names: Vec<&JobName> = orders.iter().filter_map(|order| order.message.job.as_ref()).collect();
    let jobs = db::job::resolve(transaction, &names).await.map_err(first)?;
    let mut targets: HashSet<TargetName> = HashSet::new();
    if orders.iter().any(|order| target(&order.message).is_some()) {
        let stored = db::target::all(transaction).await.map_err(first)?;
        targets.extend(stored.into_iter().map(|stored| stored.target.name));
    }
    let now = db::now(transaction).await.map_err(first)?;
    let (mut rows, mut ids) = (Vec::with_capacity(orders.len()), HashSet::new());
    for (number, Order { message, priority }) in orders.into_iter().enumerate() {
        if !ids.insert(message.id) {
            return Err((number, Refused::invalid("id", "another of these tasks has it")));
        }
        let job = db::job::accept(&message, &jobs).map_err(|refusal| (number, not_accepted(&refusal)))?;
        if let Some(target) = target(&message).filter(|target| !targets.contains(target)) {
            return Err((number, Refused::Missing(format!("params: no target is named \"{target}\""))));
        }
        let of_job = message.job.as_ref().and_then(|name| jobs.get(name)).map(|job| job.priority);
        let task = Task {
            id: message.id,
            kind: message.kind,
            priority: priority.or(of_job).unwrap_or(Priority::Normal),
            job,
            params: message.params,
            requested_by: message.requested_by,
            enqueued_at: now,
            trace: message.trace,
        };
        rows.push((task, message.not_before.unwrap_or(now).max(now)));
    }
    let described: Vec<_> = rows.iter().map(|(task, _)| (task.id, json!({ "kind": task.kind }))).collect();
    let fresh = outbox::put_at(transaction, rows).await.map_err(first)?;
    let names: Vec<String> = described.iter().map(|(id, _)| id.to_string()).collect();
    let entries: Vec<Entry<'_>> = described
        .iter()
        .zip(&names)
        .filter(|((id, _), _)| fresh.contains(id))
        .map(|((_, after), name)| Entry {
            action: "enqueue",
            subject: "task",
            name,
            before: None,
            after: Some(after.clone()),
        })
        .collect();
    record(transaction, actor, &entries).await.map_err(first)?;
    Ok(fresh)
}

fn target(message: &TaskMessage) -> Option<TargetName> {
    Work::parse(message.kind, message.params.json()).ok()?.target().cloned()
}

fn not_accepted(refusal: &Refusal) -> Refused {
    match refusal {
        Refusal::UnknownJob(_) => Refused::Missing(refusal.to_string()),
        _ => Refused::Conflict(refusal.to_string()),
    }
}

/// What came of the wish to end a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It was waiting and is ended.
    Ended,
    /// It runs: its worker will end it.
    Asked,
}

/// Ends a task wherever it is; it may move between the tables meanwhile.
pub(crate) async fn cancel(database: &Database, id: TaskId, actor: &Actor) -> Result<Cancelled, Refused> {
    for _ in 0..LOOKS {
        let mut client = database.client().await?;
        let transaction = client.transaction().await.map_err(db::Error::from)?;
        let by = &actor.name;
        let cancelled = if task::cancel(&transaction, id, by).await? {
            Some(Cancelled::Ended)
        } else if lease::cancel(&transaction, id, by).await? {
            Some(Cancelled::Asked)
        } else {
            None
        };
        if let Some(cancelled) = cancelled {
            let state = if cancelled == Cancelled::Ended { "waiting" } else { "running" };
            let entry = Entry {
                action: "cancel",
                subject: "task",
                name: &id.to_string(),
                before: Some(json!({ "state": state })),
                after: None,
            };
            record(&transaction, actor, &[entry]).await?;
            transaction.commit().await.map_err(db::Error::from)?;
            match cancelled {
                Cancelled::Ended => events::cancelled_waiting(id, by),
                Cancelled::Asked => events::cancel_asked(id, by),
            }
            return Ok(cancelled);
        }
        let late = |why: &str| Err(Refused::Conflict(why.to_owned()));
        match task::state(&transaction, id).await? {
            State::Queued { .. } | State::Running { .. } => {}
            State::Succeeded => return late("it is finished"),
            State::Cancelled => return late("it was cancelled already"),
            State::Dead { .. } => return late(&format!("it is dead; `producer dead show {id}` says why")),
            State::Unknown => return Err(Refused::Missing(format!("no task has the id {id}"))),
        }
        drop(transaction);
        drop(client);
        sleep(PAUSE).await;
    }
    Err(Refused::Conflict("it moved on each time it was found: try again".to_owned()))
}
