//! The outbox: tasks that wait for the relay.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use shared::db::task::{self, Waiting};
use shared::db::{self, known_id};
use shared::job::{JobId, JobName};
use shared::message::{Refusal, TaskMessage};
use shared::task::{Task, TaskId};

/// Puts tasks in that may run from `run_at` on; an id that is known already is left alone, because it runs once.
/// Returns the ids that were new.
pub(crate) async fn put(
    transaction: &Transaction<'_>,
    tasks: Vec<Task>,
    run_at: DateTime<Utc>,
) -> Result<HashSet<TaskId>, db::Error> {
    put_at(transaction, tasks.into_iter().map(|task| (task, run_at)).collect()).await
}

/// As [`put`], each with a time of its own.
pub(crate) async fn put_at(
    transaction: &Transaction<'_>,
    tasks: Vec<(Task, DateTime<Utc>)>,
) -> Result<HashSet<TaskId>, db::Error> {
    put_rows(transaction, tasks.into_iter().map(|(task, run_at)| Waiting::new(task, run_at)).collect()).await
}

/// What became of tasks that came as messages.
pub(crate) struct TakenIn {
    /// These wait now; what is neither here nor refused was known already.
    pub(crate) fresh: HashSet<TaskId>,
    /// These cannot be accepted as things are.
    pub(crate) refused: Vec<(TaskMessage, Refusal)>,
}

/// Puts tasks in that came as messages, under their own ids, as a worker would accept them.
pub(crate) async fn take_in(
    transaction: &Transaction<'_>,
    messages: Vec<TaskMessage>,
) -> Result<TakenIn, db::Error> {
    let names: Vec<&JobName> = messages.iter().filter_map(|message| message.job.as_ref()).collect();
    let jobs = db::job::resolve(transaction, &names).await?;
    let above = db::job::above_their_jobs(transaction, &messages, &jobs).await?;
    let now = db::now(transaction).await?;
    // Of one id in a message the first counts.
    let mut accepted: HashMap<TaskId, Waiting> = HashMap::new();
    let mut refused = Vec::new();
    for message in messages {
        let job = above.get(&message.id).cloned().map_or_else(|| db::job::accept(&message, &jobs), Err);
        match job {
            Ok(job) => _ = accepted.entry(message.id).or_insert_with(|| waiting(&message, job, now)),
            Err(refusal) => refused.push((message, refusal)),
        }
    }
    let fresh = put_rows(transaction, accepted.into_values().collect()).await?;
    Ok(TakenIn { fresh, refused })
}

fn waiting(message: &TaskMessage, job: Option<JobId>, now: DateTime<Utc>) -> Waiting {
    let run_at = message.not_before.unwrap_or(now).max(now);
    Waiting::new(message.to_task(job), run_at)
}

async fn put_rows(
    transaction: &Transaction<'_>,
    mut rows: Vec<Waiting>,
) -> Result<HashSet<TaskId>, db::Error> {
    let ids: Vec<TaskId> = rows.iter().map(|row| row.task.id).collect();
    let fresh = known_id::insert(transaction, &ids).await?;
    rows.retain(|row| fresh.contains(&row.task.id));
    task::insert(transaction, &rows).await?;
    Ok(fresh)
}
