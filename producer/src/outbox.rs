//! The outbox: tasks that wait for the relay.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
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

/// What can become of tasks that came as messages, as a worker would judge them.
pub(crate) struct Judged {
    /// Of each id the first.
    pub(crate) accepted: Vec<Waiting>,
    /// These cannot be accepted as things are; with their places among the messages, from 0.
    pub(crate) refused: Vec<(usize, TaskMessage, Refusal)>,
}

/// Judges messages; writes nothing.
pub(crate) async fn judge<C: GenericClient>(
    client: &C,
    messages: Vec<TaskMessage>,
) -> Result<Judged, db::Error> {
    let names: Vec<&JobName> = messages.iter().filter_map(|message| message.job.as_ref()).collect();
    let jobs = db::job::resolve(client, &names).await?;
    let above = db::job::presumptuous(client, &messages, &jobs).await?;
    let now = db::now(client).await?;
    let (mut seen, mut judged) = (HashSet::new(), Judged { accepted: Vec::new(), refused: Vec::new() });
    for (place, message) in messages.into_iter().enumerate() {
        let job = above.get(&message.id).cloned().map_or_else(|| db::job::accept(&message, &jobs), Err);
        match job {
            Ok(job) if seen.insert(message.id) => judged.accepted.push(waiting(&message, job, now)),
            Ok(_) => {}
            Err(refusal) => judged.refused.push((place, message, refusal)),
        }
    }
    Ok(judged)
}

/// What became of tasks that came as messages.
pub(crate) struct TakenIn {
    /// These wait now; what is neither here nor refused was known already.
    pub(crate) fresh: HashSet<TaskId>,
    /// These cannot be accepted as things are; with their places among the messages, from 0.
    pub(crate) refused: Vec<(usize, TaskMessage, Refusal)>,
}

/// Puts tasks in that came as messages, under their own ids, as a worker would accept them.
pub(crate) async fn take_in(
    transaction: &Transaction<'_>,
    messages: Vec<TaskMessage>,
) -> Result<TakenIn, db::Error> {
    let Judged { accepted, refused } = judge(transaction, messages).await?;
    Ok(TakenIn { fresh: put_rows(transaction, accepted).await?, refused })
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
