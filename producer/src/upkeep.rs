//! Upkeep: what the database needs now and then.

use std::time::Duration;

use shared::db::{self, Database, dead_task, known_id, partition, repository_lock, worker};
use tokio_util::sync::CancellationToken;

use crate::events;

/// Months whose partitions exist before they begin.
pub const MONTHS_AHEAD: u32 = 3;
/// How often everything is looked after.
const INTERVAL: Duration = Duration::from_hours(1);
/// Ids that are forgotten in one statement.
const FORGET_BATCH: i64 = 10_000;

/// Looks after the database at once, and then every hour until `stop`.
pub async fn run(database: &Database, id_window: Duration, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        // Each duty stands for itself: one that fails leaves the others to be done.
        report("creating partitions", create_partitions(database).await.map(|names| names.len() as u64));
        report("forgetting ids", forget_ids(database, id_window, stop).await);
        report("sweeping repository locks", sweep_locks(database).await);
        report("sweeping workers", sweep_workers(database).await);
        report("sweeping dead tasks", sweep_dead_tasks(database).await);
        _ = tokio::time::timeout(INTERVAL, stop.cancelled()).await;
    }
}

/// Creates this month's partitions and those of the months ahead; returns the names of the new ones.
///
/// # Errors
/// The database's.
pub async fn create_partitions(database: &Database) -> Result<Vec<String>, db::Error> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let now = db::now(&transaction).await?;
    let created = partition::create_ahead(&transaction, now, MONTHS_AHEAD).await?;
    transaction.commit().await?;
    Ok(created)
}

async fn forget_ids(
    database: &Database,
    window: Duration,
    stop: &CancellationToken,
) -> Result<u64, db::Error> {
    let client = database.client().await?;
    let mut forgotten = 0;
    while !stop.is_cancelled() {
        let batch = known_id::forget(&client, window, FORGET_BATCH).await?;
        forgotten += batch;
        if i64::try_from(batch).is_ok_and(|batch| batch < FORGET_BATCH) {
            break;
        }
    }
    Ok(forgotten)
}

async fn sweep_locks(database: &Database) -> Result<u64, db::Error> {
    repository_lock::sweep(&database.client().await?).await
}

async fn sweep_workers(database: &Database) -> Result<u64, db::Error> {
    worker::sweep(&database.client().await?).await
}

async fn sweep_dead_tasks(database: &Database) -> Result<u64, db::Error> {
    dead_task::sweep(&database.client().await?).await
}

fn report(duty: &'static str, done: Result<u64, db::Error>) {
    match done {
        Ok(rows) => events::upkeep_done(duty, rows),
        Err(error) => events::upkeep_failed(duty, &error),
    }
}
