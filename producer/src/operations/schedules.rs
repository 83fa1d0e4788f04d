//! Schedules: paused, resumed, and run beside their due times.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db::{self, schedule};
use shared::task::{TaskId, TaskKind};

use super::{Actor, Entry, Refused, record};
use crate::scheduler;

/// A schedule by its name, or all of a kind that a job of that name has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which<'a> {
    /// What it enqueues.
    pub(crate) kind: TaskKind,
    /// Its name, or its job's.
    pub(crate) name: &'a str,
}

/// Has schedules enqueue nothing until they are resumed; or resumes them, so that what was due meanwhile is caught up as they say.
/// Returns how many.
pub(crate) async fn pause(
    transaction: &Transaction<'_>,
    which: Which<'_>,
    is_paused: bool,
    actor: &Actor,
) -> Result<usize, Refused> {
    let stored = stored(transaction, which).await?;
    let by = is_paused.then_some(actor.name.as_str());
    schedule::set_paused(transaction, which.kind, which.name, by).await?;
    let names: Vec<String> = stored.iter().map(subject).collect();
    let entries = stored.iter().zip(&names).map(|(before, name)| Entry {
        action: if is_paused { "pause" } else { "resume" },
        subject: "schedule",
        name,
        before: Some(json!({ "paused_by": before.paused_by })),
        after: Some(json!({ "paused_by": by })),
    });
    record(transaction, actor, &entries.collect::<Vec<_>>()).await?;
    Ok(stored.len())
}

/// Enqueues the work of schedules now, whatever they say about overlaps. What is due later overlaps with it as with any other.
pub(crate) async fn run_now(
    transaction: &Transaction<'_>,
    which: Which<'_>,
    actor: &Actor,
) -> Result<Vec<TaskId>, Refused> {
    let (mut tasks, mut names) = (Vec::new(), Vec::new());
    for stored in stored(transaction, which).await? {
        let job = match stored.job {
            Some(id) => db::job::load(transaction, &[id]).await?.pop().map(|stored| stored.job),
            None => None,
        };
        if job.as_ref().is_some_and(|job| !job.active) {
            let why = format!("the job of the {} schedule of {} is not active", which.kind, which.name);
            return Err(Refused::Conflict(why));
        }
        let priority = job.map(|job| job.priority);
        tasks.push(scheduler::enqueue_now(transaction, &stored, priority, &actor.name).await?);
        names.push(subject(&stored));
    }
    let entries = tasks.iter().zip(&names).map(|(task, name)| Entry {
        action: "run",
        subject: "schedule",
        name,
        before: None,
        after: Some(json!({ "task": task })),
    });
    record(transaction, actor, &entries.collect::<Vec<_>>()).await?;
    Ok(tasks)
}

fn subject(stored: &schedule::Stored) -> String {
    format!("{}/{}", stored.kind, stored.name)
}

async fn stored(transaction: &Transaction<'_>, which: Which<'_>) -> Result<Vec<schedule::Stored>, Refused> {
    // In the order of those who change definitions, who lock schedules too.
    db::job::lock_definitions(transaction).await?;
    let stored = schedule::lock_named(transaction, which.kind, which.name).await?;
    if stored.is_empty() {
        return Err(missing(transaction, which).await?);
    }
    Ok(stored)
}

/// Says that there is no such schedule, and whether there is a job of this name.
pub(crate) async fn missing<C: deadpool_postgres::GenericClient>(
    client: &C,
    Which { kind, name }: Which<'_>,
) -> Result<Refused, db::Error> {
    let Ok(job) = name.parse() else {
        return Ok(Refused::Missing(format!("no {kind} schedule of {name:?}: `schedule list` shows all")));
    };
    let jobs = db::job::resolve(client, &[&job]).await?;
    if !jobs.values().any(|job| !job.removed) {
        return Ok(Refused::Missing(format!(
            "no {kind} schedule of {name:?}: no job and no report has this name"
        )));
    }
    let others = schedule::kinds_of_job(client, &job).await?;
    let others: Vec<&str> = others.iter().map(|kind| kind.as_str()).collect();
    let has = if others.is_empty() { String::new() } else { format!(", but for {}", others.join(", ")) };
    Ok(Refused::Missing(format!("no {kind} schedule of {name:?}: the job has no such schedule{has}")))
}
