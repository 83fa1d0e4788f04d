//! Judges jobs when their evidence expires: time alone changes verdicts.

use std::time::Duration;

use shared::db::definition::Definitions;
use shared::db::{Database, Error, compliance};
use shared::job::JobId;
use tokio_util::sync::CancellationToken;

use crate::events;

/// What a verdict may lag behind the end of its evidence; windows are hours at least.
const INTERVAL: Duration = Duration::from_secs(10);
/// Jobs in one transaction: their recorders wait while it lasts.
const BATCH: u16 = 500;

/// Judges what is due, again and again, until `stop`.
pub async fn run(database: &Database, stop: &CancellationToken) {
    let definitions = Definitions::default();
    while !stop.is_cancelled() {
        if let Err(error) = judge(database, &definitions, stop).await {
            events::judging_failed(&error);
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn judge(
    database: &Database,
    definitions: &Definitions,
    stop: &CancellationToken,
) -> Result<(), Error> {
    while !stop.is_cancelled() {
        let due = compliance::due(&database.client().await?, i64::from(BATCH)).await?;
        let judged = judge_all(database, definitions, &due).await?;
        if judged > 0 {
            events::judged(judged);
        }
        // What cannot be judged stays due, and is tried again the next time.
        if judged < usize::from(BATCH) {
            break;
        }
    }
    Ok(())
}

/// Judges jobs together; where one of them is at fault, the others without it. Returns how many were judged.
async fn judge_all(database: &Database, definitions: &Definitions, jobs: &[JobId]) -> Result<usize, Error> {
    let mut judged = 0;
    let mut batches = vec![jobs];
    while let Some(batch) = batches.pop() {
        match transact(database, definitions, batch).await {
            Ok(()) => judged += batch.len(),
            Err(error) if error.blames_the_rows() && batch.len() > 1 => {
                let (first, rest) = batch.split_at(batch.len() / 2);
                batches.extend([rest, first]);
            }
            Err(error) if error.blames_the_rows() => events::job_not_judged(batch, &error),
            Err(error) => return Err(error),
        }
    }
    Ok(judged)
}

async fn transact(database: &Database, definitions: &Definitions, jobs: &[JobId]) -> Result<(), Error> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    compliance::judge_again(&transaction, definitions, jobs).await?;
    let _committed = shared::db::commit(transaction).await?;
    Ok(())
}
