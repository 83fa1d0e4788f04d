//! Removes from the database what nobody looks at any more, some rows at a time.

use serde_json::json;
use shared::db::{self, Database, alert, job_health, silence};
use shared::task::Ended;

use super::attempt::{Attempt, retry};
use crate::outcome::Outcome;

/// Rows that one statement removes.
const BATCH: i64 = 1_000;

/// Removes all that is old, until nothing is left or the attempt is ended.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<Outcome, Ended> {
    let database = &attempt.worker.database;
    let removed = async {
        let alerts = sweep(database, async |client| alert::sweep(client, BATCH).await).await?;
        let silences = sweep(database, async |client| silence::sweep(client, BATCH).await).await?;
        let days = sweep(database, async |client| job_health::sweep_days(client, BATCH).await).await?;
        Ok(json!({ "alerts": alerts, "silences": silences, "days": days }))
    };
    let removed = tokio::select! {
        removed = removed => removed.map_err(|error: db::Error| retry(error))?,
        // What was removed stays so.
        () = attempt.cancel.cancelled() => return Err(Ended::Interrupted),
    };
    Ok(Outcome { detail: Some(removed), ..Outcome::done() })
}

/// Removes until a statement finds less than it may remove; returns how many rows.
async fn sweep(
    database: &Database,
    mut remove: impl AsyncFnMut(&deadpool_postgres::Client) -> Result<u64, db::Error>,
) -> Result<u64, db::Error> {
    let mut removed = 0;
    loop {
        let rows = remove(&database.client().await?).await?;
        removed += rows;
        if rows < BATCH.unsigned_abs() {
            return Ok(removed);
        }
    }
}
