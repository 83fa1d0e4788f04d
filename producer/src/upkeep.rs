//! Upkeep: what the database needs now and then.

use std::time::Duration;

use chrono::NaiveDate;
use serde_json::json;
use shared::db::keeping::{self, Keeping};
use shared::db::partition::Created;
use shared::db::{self, Database, alert, evidence_kept, known_id, partition, repository_lock, sweep, worker};
use shared::params::Params;
use shared::task::{Priority, Task, TaskId, TaskKind};
use shared::work::maintain::Old;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{events, metrics, outbox};

/// Months whose partitions exist before they begin.
pub const MONTHS_AHEAD: u32 = 3;
/// How often everything is looked after.
const INTERVAL: Duration = Duration::from_hours(1);

/// The ids of tasks that maintain the database, each with the number of its day since 1970: a UUID of version 8.
const MAINTAIN_ID: u128 = 0x686f_6c64_6661_8000_8000_0000_0000_0000;

/// Looks after the database at once, and then every hour until `stop`.
pub async fn run(database: &Database, keeping: Keeping, stop: &CancellationToken) {
    let mut forgotten = None;
    loop {
        tokio::select! {
            () = look_after(database, keeping, &mut forgotten) => {}
            // Whatever it is at can be begun anew.
            () = stop.cancelled() => return,
        }
        _ = tokio::time::timeout(INTERVAL, stop.cancelled()).await;
        if stop.is_cancelled() {
            return;
        }
    }
}

/// Each duty stands for itself: one that fails leaves the others to be done.
async fn look_after(database: &Database, keeping: Keeping, forgotten: &mut Option<NaiveDate>) {
    report("telling how long what is kept", tell(database, keeping).await);
    report("creating partitions", create_partitions(database).await.map(|created| created.len() as u64));
    report("dropping partitions", drop_partitions(database, keeping).await);
    report("sweeping kept evidence", sweep_evidence(database).await);
    watch(database).await;
    report("analyzing the history", analyze(database).await);
    report("forgetting ids", forget_ids(database, keeping, forgotten).await);
    report("sweeping repository locks", sweep_locks(database).await);
    report("sweeping workers", sweep_workers(database).await);
    report("sweeping dead tasks", sweep::run(database, Old::DeadTasks, keeping).await);
    report("forgetting due times", sweep::run(database, Old::DueTimes, keeping).await);
    report("forgetting answers", sweep::run(database, Old::Answers, keeping).await);
    report("sweeping the audit", sweep::run(database, Old::Audit, keeping).await);
    report("enqueueing what workers maintain", maintain(database).await);
}

/// Creates this month's partitions, those of the months ahead, and those of rows that found none; returns the new ones.
///
/// # Errors
/// The database's.
pub async fn create_partitions(database: &Database) -> Result<Vec<Created>, db::Error> {
    let mut client = database.client().await?;
    let now = db::now(&client).await?;
    let created = partition::create_ahead(&mut client, now, MONTHS_AHEAD).await?;
    for Created { name, moved } in created.iter().filter(|created| created.moved > 0) {
        events::mended(name, *moved);
    }
    Ok(created)
}

/// Tasks that sweep go by what is written here.
async fn tell(database: &Database, keeping: Keeping) -> Result<u64, db::Error> {
    keeping::tell(&database.client().await?, keeping).await.map(|()| 0)
}

async fn drop_partitions(database: &Database, keeping: Keeping) -> Result<u64, db::Error> {
    let mut client = database.client().await?;
    let now = db::now(&client).await?;
    let dropped = partition::drop_oldest(&mut client, now, keeping.history).await?;
    for name in &dropped {
        events::dropped(name);
    }
    Ok(dropped.len() as u64)
}

async fn sweep_evidence(database: &Database) -> Result<u64, db::Error> {
    evidence_kept::sweep(&database.client().await?).await
}

/// After creation nothing is left without a month, unless it failed.
async fn watch(database: &Database) {
    let rows = async { partition::rows_in_default(&database.client().await?).await };
    match rows.await {
        Ok(0) => {}
        Ok(rows) => events::rows_without_a_month(rows),
        Err(error) => events::upkeep_failed("watching the default partitions", &error),
    }
}

async fn analyze(database: &Database) -> Result<u64, db::Error> {
    partition::analyze(&database.client().await?).await
}

/// Once a day: windows are whole days, and it reads the whole table.
async fn forget_ids(
    database: &Database,
    keeping: Keeping,
    on: &mut Option<NaiveDate>,
) -> Result<u64, db::Error> {
    let today = known_id::today(&database.client().await?).await?;
    if *on == Some(today) {
        return Ok(0);
    }
    let forgotten = sweep::run(database, Old::Ids, keeping).await?;
    *on = Some(today);
    Ok(forgotten)
}

async fn sweep_locks(database: &Database) -> Result<u64, db::Error> {
    repository_lock::sweep(&database.client().await?).await
}

async fn sweep_workers(database: &Database) -> Result<u64, db::Error> {
    worker::sweep(&database.client().await?).await
}

/// What workers remove some rows at a time is enqueued where there is something to remove: the day is the task's id, so that it
/// runs once a day, whatever number of producers runs.
async fn maintain(database: &Database) -> Result<u64, db::Error> {
    let mut client = database.client().await?;
    if !alert::is_sweep_due(&client).await? {
        return Ok(0);
    }
    let now = db::now(&client).await?;
    let day = now.timestamp().div_euclid(24 * 60 * 60);
    let task = Task {
        id: TaskId(Uuid::from_u128(MAINTAIN_ID | u128::from(day.unsigned_abs()))),
        kind: TaskKind::Maintain,
        priority: Priority::Normal,
        job: None,
        params: Params::from(&json!({})),
        requested_by: "upkeep".to_owned(),
        enqueued_at: now,
        trace: None,
    };
    let transaction = client.transaction().await?;
    let fresh = outbox::put(&transaction, vec![task], now).await?;
    transaction.commit().await?;
    Ok(fresh.len() as u64)
}

fn report(duty: &'static str, done: Result<u64, db::Error>) {
    let result = match done {
        Ok(rows) => {
            events::upkeep_done(duty, rows);
            "done"
        }
        Err(error) if error.is_busy() => {
            events::upkeep_put_off(duty, &error);
            "put_off"
        }
        Err(error) => {
            events::upkeep_failed(duty, &error);
            "failed"
        }
    };
    metrics::upkeep(duty, result);
}
