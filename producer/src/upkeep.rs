//! Upkeep: what the database needs now and then.

use std::time::Duration;

use chrono::NaiveDate;
use serde_json::json;
use shared::db::partition::Created;
use shared::db::{
    self, Database, alert, audit, dead_task, evidence_kept, idempotency, known_id, partition,
    repository_lock, schedule, worker,
};
use shared::params::Params;
use shared::task::{Priority, Task, TaskId, TaskKind};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{events, outbox};

/// Months whose partitions exist before they begin.
pub const MONTHS_AHEAD: u32 = 3;
/// How often everything is looked after.
const INTERVAL: Duration = Duration::from_hours(1);
/// How long it is known which due times were seen to; each schedule knows by itself where it goes on.
const DUE_TIMES: Duration = Duration::from_hours(30 * 24);
/// Pages of ids that are looked through in one statement: some 40,000 ids.
const FORGET_PAGES: i64 = 256;

/// The ids of tasks that maintain the database, each with the number of its day since 1970: a UUID of version 8.
const MAINTAIN_ID: u128 = 0x686f_6c64_6661_8000_8000_0000_0000_0000;

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// Ids, so that they run once.
    pub id_window: Duration,
    /// Executions and evidence, rounded up to whole months.
    pub history: Duration,
}

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
    report("creating partitions", create_partitions(database).await.map(|created| created.len() as u64));
    report("dropping partitions", drop_partitions(database, keeping.history).await);
    report("sweeping kept evidence", sweep_evidence(database).await);
    watch(database).await;
    report("analyzing the history", analyze(database).await);
    report("forgetting ids", forget_ids(database, keeping.id_window, forgotten).await);
    report("sweeping repository locks", sweep_locks(database).await);
    report("sweeping workers", sweep_workers(database).await);
    report("sweeping dead tasks", sweep_dead_tasks(database).await);
    report("forgetting due times", forget_due_times(database).await);
    report("forgetting answers", forget_answers(database, keeping.id_window).await);
    report("sweeping the audit", sweep_audit(database, keeping.history).await);
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

async fn drop_partitions(database: &Database, history: Duration) -> Result<u64, db::Error> {
    let mut client = database.client().await?;
    let now = db::now(&client).await?;
    let dropped = partition::drop_oldest(&mut client, now, history).await?;
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
    window: Duration,
    on: &mut Option<NaiveDate>,
) -> Result<u64, db::Error> {
    let client = database.client().await?;
    let today = known_id::today(&client).await?;
    let mut forgotten = 0;
    if *on != Some(today) {
        let (mut first, end) = (0, known_id::pages(&client).await?);
        while first < end {
            let pages = known_id::Pages { first, count: FORGET_PAGES };
            forgotten += known_id::forget(&client, window, pages).await?;
            first += FORGET_PAGES;
        }
        *on = Some(today);
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

async fn forget_due_times(database: &Database) -> Result<u64, db::Error> {
    schedule::forget(&database.client().await?, DUE_TIMES).await
}

async fn forget_answers(database: &Database, window: Duration) -> Result<u64, db::Error> {
    idempotency::sweep(&database.client().await?, window).await
}

async fn sweep_audit(database: &Database, history: Duration) -> Result<u64, db::Error> {
    audit::sweep(&database.client().await?, history).await
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
    match done {
        Ok(rows) => events::upkeep_done(duty, rows),
        Err(error) if error.is_busy() => events::upkeep_put_off(duty, &error),
        Err(error) => events::upkeep_failed(duty, &error),
    }
}
