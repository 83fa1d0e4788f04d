//! Removes from the database what nobody looks at any more, some rows at a time.

use serde_json::json;
use shared::db::{self, Database, alert, job_health, notification, report, silence};
use shared::task::Ended;

use super::attempt::{Attempt, retry};
use crate::outcome::Outcome;

/// Rows that one statement removes.
const BATCH: i64 = 1_000;

/// What becomes old.
#[derive(Debug, Clone, Copy)]
enum Old {
    Alerts,
    Silences,
    Days,
    Notifications,
    Reports,
}

/// Removes all that is old, until nothing is left or the attempt is ended.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<Outcome, Ended> {
    let database = &attempt.worker.database;
    let removed = async {
        let alerts = remove(database, Old::Alerts).await?;
        let silences = remove(database, Old::Silences).await?;
        let days = remove(database, Old::Days).await?;
        let notifications = remove(database, Old::Notifications).await?;
        let reports = remove(database, Old::Reports).await?;
        Ok(
            json!({ "alerts": alerts, "silences": silences, "days": days, "notifications": notifications, "reports": reports }),
        )
    };
    let removed = tokio::select! {
        removed = removed => removed.map_err(|error: db::Error| retry(error))?,
        // What was removed stays so.
        () = attempt.cancel.cancelled() => return Err(Ended::Interrupted),
    };
    Ok(Outcome { detail: Some(removed), ..Outcome::done() })
}

/// Returns how many rows it has removed.
async fn remove(database: &Database, old: Old) -> Result<u64, db::Error> {
    let mut removed = 0;
    loop {
        let client = database.client().await?;
        let rows = match old {
            Old::Alerts => alert::sweep(&client, BATCH).await?,
            Old::Silences => silence::sweep(&client, BATCH).await?,
            Old::Days => job_health::sweep_days(&client, BATCH).await?,
            Old::Notifications => notification::sweep(&client, BATCH).await?,
            Old::Reports => report::sweep(&client, BATCH).await?,
        };
        removed += rows;
        if rows < BATCH.unsigned_abs() {
            return Ok(removed);
        }
    }
}
