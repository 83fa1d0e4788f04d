//! What is old goes: one way for each kind of it, whether the producer's upkeep asks or a task.

use super::keeping::Keeping;
use super::known_id::Pages;
use super::statement::statement;
use super::{
    Database, Error, alert, audit, dead_task, idempotency, job_health, known_id, notification, now,
    partition, report, schedule, silence, unsigned,
};
use crate::work::maintain::{Old, Table};

/// The statement that counts the rows of a table that a condition finds old.
macro_rules! count_of {
    ($table:literal, $old:expr) => {
        statement!(
            concat!($table, ".count_old"),
            format!(concat!("select count(*) from ", $table, " where {}"), $old)
        )
    };
}

/// Rows that one statement removes, so that nobody is kept from them for long.
const BATCH: i64 = 1_000;
/// Pages of ids that are looked through in one statement: some 40,000 ids.
const ID_PAGES: i64 = 256;

/// Removes what is old, in statements of their own, and returns how many rows that were, or months. Whoever drops it in between
/// leaves nothing half done.
///
/// # Errors
/// The database's. [`Error::is_busy`] for months, when a table was in use for longer than anybody may be kept waiting.
pub async fn run(database: &Database, old: Old, keeping: Keeping) -> Result<u64, Error> {
    match old {
        Old::Ids => return forget_ids(database, keeping).await,
        Old::Months => {
            let mut client = database.client().await?;
            let now = now(&client).await?;
            return Ok(partition::drop_oldest(&mut client, now, keeping.history).await?.len() as u64);
        }
        _ => {}
    }
    let mut removed = 0;
    loop {
        let client = database.client().await?;
        let rows = match old {
            Old::Reports => report::sweep(&client, BATCH).await?,
            Old::Alerts => alert::sweep(&client, BATCH).await?,
            Old::Silences => silence::sweep(&client, BATCH).await?,
            Old::Days => job_health::sweep_days(&client, BATCH).await?,
            Old::Notifications => notification::sweep(&client, BATCH).await?,
            Old::DeadTasks => dead_task::sweep(&client, BATCH).await?,
            Old::DueTimes => schedule::forget(&client, BATCH).await?,
            Old::Answers => idempotency::sweep(&client, keeping.id_window, BATCH).await?,
            Old::Audit => audit::sweep(&client, keeping.history, BATCH).await?,
            Old::Ids | Old::Months => 0,
        };
        removed += rows;
        if rows < BATCH.unsigned_abs() {
            return Ok(removed);
        }
    }
}

async fn forget_ids(database: &Database, keeping: Keeping) -> Result<u64, Error> {
    let client = database.client().await?;
    let (mut first, end, mut forgotten) = (0, known_id::pages(&client).await?, 0);
    while first < end {
        let pages = Pages { first, count: ID_PAGES };
        forgotten += known_id::forget(&client, keeping.id_window, pages).await?;
        first += ID_PAGES;
    }
    Ok(forgotten)
}

/// How many rows, or months, [`run`] would remove now.
///
/// # Errors
/// The database's.
pub async fn count(database: &Database, old: Old, keeping: Keeping) -> Result<u64, Error> {
    let client = database.client().await?;
    let window = keeping.id_window.as_secs_f64();
    let row = match old {
        Old::Months => {
            let now = now(&client).await?;
            return Ok(partition::oldest(&client, now, keeping.history).await?.len() as u64);
        }
        Old::Ids => return known_id::count_old(&client, keeping.id_window).await,
        Old::Reports => count_of!("report", report::OLD).query_one(&client, &[]).await?,
        Old::Alerts => count_of!("alert", alert::OLD).query_one(&client, &[]).await?,
        Old::Silences => count_of!("silence", silence::OLD).query_one(&client, &[]).await?,
        Old::Days => count_of!("job_day", job_health::OLD_DAYS).query_one(&client, &[]).await?,
        Old::Notifications => count_of!("notification", notification::OLD).query_one(&client, &[]).await?,
        Old::DeadTasks => count_of!("dead_task", dead_task::OLD).query_one(&client, &[]).await?,
        Old::DueTimes => count_of!("schedule_run", schedule::OLD).query_one(&client, &[]).await?,
        Old::Answers => count_of!("idempotency", idempotency::OLD).query_one(&client, &[&window]).await?,
        Old::Audit => {
            count_of!("audit", audit::OLD).query_one(&client, &[&keeping.history.as_secs_f64()]).await?
        }
    };
    Ok(unsigned(row.try_get(0)?))
}

/// The tables that become smaller.
#[must_use]
pub const fn tables(old: Old) -> &'static [Table] {
    match old {
        Old::Reports => &[Table::Report, Table::ReportFile],
        Old::Alerts => &[Table::Alert, Table::AlertEvent],
        Old::Silences => &[Table::Silence],
        Old::Days => &[Table::JobDay],
        Old::Notifications => &[Table::Notification, Table::NotificationEvent, Table::Delivery],
        Old::DeadTasks => &[Table::DeadTask],
        Old::DueTimes => &[Table::ScheduleRun],
        Old::Answers => &[Table::Idempotency],
        Old::Ids => &[Table::KnownId],
        Old::Audit => &[Table::Audit],
        Old::Months => &[Table::Execution, Table::Evidence],
    }
}
