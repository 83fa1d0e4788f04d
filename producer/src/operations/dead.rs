//! Dead tasks: done again as new ones, or dropped.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db;
use shared::db::dead_task::{self, Filter, Stored};
use shared::job::JobName;
use shared::task::{Task, TaskId};

use super::{Actor, Entry, record};
use crate::outbox;

/// A dead task, and the new one that does its work or why there is none.
pub(crate) type Replayed = (TaskId, Result<TaskId, String>);

/// Does dead tasks again as new ones; those that somebody else settled meanwhile are absent from the answer.
pub(crate) async fn replay(
    transaction: &Transaction<'_>,
    ids: &[TaskId],
    actor: &Actor,
) -> Result<Vec<Replayed>, db::Error> {
    let open = lock(transaction, ids).await?;
    let names: Vec<&JobName> = open.iter().filter_map(|stored| stored.job.as_ref()).collect();
    let jobs = db::job::resolve(transaction, &names).await?;
    let now = db::now(transaction).await?;
    let (mut new, mut replays, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for Stored { task, job, .. } in &open {
        if let Some(name) = job
            && !jobs.get(name).is_some_and(|job| job.active)
        {
            let why = format!("its job {name} is not active; activate it with `producer apply` first");
            outcomes.push((task.id, Err(why)));
            continue;
        }
        let again = Task {
            id: TaskId::generate(),
            requested_by: actor.name.clone(),
            enqueued_at: now,
            ..task.clone()
        };
        replays.push((task.id, again.id));
        outcomes.push((task.id, Ok(again.id)));
        new.push(again);
    }
    outbox::put(transaction, new, now).await?;
    dead_task::mark_replayed(transaction, &replays, &actor.name).await?;
    let names: Vec<String> = replays.iter().map(|(dead, _)| dead.to_string()).collect();
    let entries = replays.iter().zip(&names).map(|((_, new), name)| Entry {
        action: "replay",
        subject: "dead task",
        name,
        before: Some(json!({ "state": "open" })),
        after: Some(json!({ "state": "replayed", "task": new })),
    });
    record(transaction, actor, &entries.collect::<Vec<_>>()).await?;
    Ok(outcomes)
}

/// Writes down that nobody wants dead tasks; returns those that nobody else had settled.
pub(crate) async fn drop(
    transaction: &Transaction<'_>,
    ids: &[TaskId],
    actor: &Actor,
) -> Result<Vec<Stored>, db::Error> {
    let open = lock(transaction, ids).await?;
    let dropped: Vec<TaskId> = open.iter().map(|stored| stored.task.id).collect();
    dead_task::mark_dropped(transaction, &dropped, &actor.name).await?;
    let names: Vec<String> = dropped.iter().map(ToString::to_string).collect();
    let entries = open.iter().zip(&names).map(|(stored, name)| Entry {
        action: "drop",
        subject: "dead task",
        name,
        before: Some(json!({ "state": "open", "reason": stored.reason, "error": stored.last_error })),
        after: Some(json!({ "state": "dropped" })),
    });
    record(transaction, actor, &entries.collect::<Vec<_>>()).await?;
    Ok(open)
}

async fn lock(transaction: &Transaction<'_>, ids: &[TaskId]) -> Result<Vec<Stored>, db::Error> {
    // To the database, no ids mean all.
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter { ids: ids.to_vec(), ..Filter::default() };
    dead_task::lock_open(transaction, &filter, i64::MAX).await
}
