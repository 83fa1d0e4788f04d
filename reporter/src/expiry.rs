//! Judges jobs when their evidence expires: time alone changes verdicts.

use std::time::Duration;

use shared::db::{Database, Error, compliance};
use tokio_util::sync::CancellationToken;

use crate::events;

/// What a verdict may lag behind the end of its evidence; windows are hours at least.
const INTERVAL: Duration = Duration::from_secs(10);
/// Jobs in one transaction: their recorders wait while it lasts.
const BATCH: u16 = 500;

/// Judges what is due, again and again, until `stop`.
pub async fn run(database: &Database, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = judge(database, stop).await {
            events::judging_failed(&error);
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn judge(database: &Database, stop: &CancellationToken) -> Result<(), Error> {
    let mut client = database.client().await?;
    while !stop.is_cancelled() {
        let transaction = client.transaction().await?;
        let jobs = compliance::judge_due(&transaction, i64::from(BATCH)).await?;
        let _committed = shared::db::commit(transaction).await?;
        if jobs > 0 {
            events::judged(jobs);
        }
        if jobs < usize::from(BATCH) {
            break;
        }
    }
    Ok(())
}
