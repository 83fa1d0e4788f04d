//! Schedules: paused, resumed, and run beside their due times.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db::{self, schedule};
use shared::task::{TaskId, TaskKind};

use super::{Actor, Entry, Refused, record};
use crate::scheduler;

/// Which schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which<'a> {
    /// What it enqueues.
    pub(crate) kind: TaskKind,
    /// Its name: that of its job where it is its only one of the kind.
    pub(crate) name: &'a str,
}

/// Has a schedule enqueue nothing until it is resumed; or resumes it, so that what was due meanwhile is caught up as it says.
pub(crate) async fn pause(
    transaction: &Transaction<'_>,
    which: Which<'_>,
    is_paused: bool,
    actor: &Actor,
) -> Result<(), Refused> {
    let before = stored(transaction, which).await?;
    let by = is_paused.then_some(actor.name.as_str());
    schedule::set_paused(transaction, which.kind, which.name, by).await?;
    let entry = Entry {
        action: if is_paused { "pause" } else { "resume" },
        subject: "schedule",
        name: &which.subject(),
        before: Some(json!({ "paused_by": before.paused_by })),
        after: Some(json!({ "paused_by": by })),
    };
    Ok(record(transaction, actor, &[entry]).await?)
}

/// Enqueues the work of a schedule now, whatever it says about overlaps. What is due later overlaps with it as with any other.
pub(crate) async fn run_now(
    transaction: &Transaction<'_>,
    which: Which<'_>,
    actor: &Actor,
) -> Result<TaskId, Refused> {
    let stored = stored(transaction, which).await?;
    let job = match stored.job {
        Some(id) => db::job::load(transaction, &[id]).await?.pop().map(|stored| stored.job),
        None => None,
    };
    if job.as_ref().is_some_and(|job| !job.active) {
        return Err(Refused::Conflict(format!(
            "the job of the {} schedule of {} is not active",
            which.kind, which.name
        )));
    }
    let priority = job.map(|job| job.priority);
    let task = scheduler::enqueue_now(transaction, &stored, priority, &actor.name).await?;
    let entry = Entry {
        action: "run",
        subject: "schedule",
        name: &which.subject(),
        before: None,
        after: Some(json!({ "task": task })),
    };
    record(transaction, actor, &[entry]).await?;
    Ok(task)
}

impl Which<'_> {
    fn subject(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

async fn stored(transaction: &Transaction<'_>, which: Which<'_>) -> Result<schedule::Stored, Refused> {
    match schedule::lock(transaction, which.kind, which.name).await? {
        Some(stored) => Ok(stored),
        None => Err(missing(transaction, which).await?),
    }
}

/// Says that there is no such schedule, and whether there is a job of this name.
pub(crate) async fn missing<C: deadpool_postgres::GenericClient>(
    client: &C,
    Which { kind, name }: Which<'_>,
) -> Result<Refused, db::Error> {
    let jobs = match name.parse() {
        Ok(name) => db::job::resolve(client, &[&name]).await?.len(),
        Err(_) => 0,
    };
    let why = if jobs > 0 { "the job has no such schedule" } else { "no job and no report has this name" };
    Ok(Refused::Missing(format!("no {kind} schedule of {name:?}: {why}")))
}
