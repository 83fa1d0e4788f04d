//! The outbox: tasks that wait for the relay.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use shared::db::task::{self, Waiting};
use shared::db::{self, known_id};
use shared::task::{Task, TaskId};

/// Puts tasks in that may run from `run_at` on; an id that is known already is left alone, because it runs once.
/// Returns the ids that were new.
pub(crate) async fn put(
    transaction: &Transaction<'_>,
    tasks: Vec<Task>,
    run_at: DateTime<Utc>,
) -> Result<HashSet<TaskId>, db::Error> {
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let fresh = known_id::insert(transaction, &ids).await?;
    let rows: Vec<Waiting> = tasks
        .into_iter()
        .filter(|task| fresh.contains(&task.id))
        .map(|task| Waiting::new(task, run_at))
        .collect();
    task::insert(transaction, &rows).await?;
    Ok(fresh)
}
