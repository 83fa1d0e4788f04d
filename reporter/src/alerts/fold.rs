//! Folds executions into the health of jobs and targets, range by range of the transactions that wrote them.

use deadpool_postgres::Client;
use shared::db::{Error, alert_evaluation, execution, job_health, rollup, target_health};

use crate::events;

/// No more attempts are folded in one transaction, but for those that one transaction wrote.
const ATTEMPTS_AT_ONCE: i64 = 50_000;

/// Folds a part of what was written since the last call; returns whether nothing is left. Whoever else folds waits, and then goes on from
/// there.
pub(super) async fn step(client: &mut Client) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let folded = alert_evaluation::lock(&transaction).await?;
    let horizon = execution::horizon(&transaction).await?;
    let from = match folded {
        // As after a restore of another server's dump, whose transactions have other numbers.
        Some(folded) if folded > horizon => {
            alert_evaluation::advance(&transaction, horizon).await?;
            transaction.commit().await?;
            events::folded_elsewhere();
            return Ok(true);
        }
        Some(folded) => folded,
        // An older transaction may still be running and write the first row of all.
        None => execution::first_xact(&transaction).await?.map_or(horizon, |first| first.min(horizon)),
    };
    if from >= horizon {
        if folded.is_none() {
            alert_evaluation::advance(&transaction, from).await?;
            transaction.commit().await?;
        }
        return Ok(true);
    }
    let to = rollup::range_end(&transaction, from, horizon, ATTEMPTS_AT_ONCE).await?;
    job_health::fold(&transaction, from, to).await?;
    job_health::fold_days(&transaction, from, to).await?;
    target_health::fold(&transaction, from, to).await?;
    alert_evaluation::advance(&transaction, to).await?;
    transaction.commit().await?;
    Ok(to == horizon)
}
