//! Folds executions into the health of jobs and targets, range by range of the transactions that wrote them.

use deadpool_postgres::Client;
use shared::db::execution::{self, Xact};
use shared::db::{Error, alert_evaluation, job_health, target_health};

use crate::events;

/// No more attempts are folded in one transaction, as far as transactions can be told apart.
const ATTEMPTS_AT_ONCE: u64 = 100_000;
/// The range to begin with, and the smallest one, in transactions.
const SMALLEST_RANGE: u64 = 1_000;

/// The range of transactions that is folded next.
#[derive(Debug)]
pub(super) struct Fold {
    range: u64,
}

impl Default for Fold {
    fn default() -> Self {
        Self { range: SMALLEST_RANGE }
    }
}

impl Fold {
    /// Folds one range of what was written since the last call; returns whether nothing is left. Whoever else folds waits, and then
    /// goes on from there.
    pub(super) async fn step(&mut self, client: &mut Client) -> Result<bool, Error> {
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
        let to = self.end(&transaction, from, horizon).await?;
        job_health::fold(&transaction, from, to).await?;
        job_health::fold_days(&transaction, from, to).await?;
        target_health::fold(&transaction, from, to).await?;
        alert_evaluation::advance(&transaction, to).await?;
        transaction.commit().await?;
        Ok(to == horizon)
    }

    /// The end of a range that holds about as much as is folded at once.
    async fn end<C: deadpool_postgres::GenericClient>(
        &mut self,
        client: &C,
        from: Xact,
        horizon: Xact,
    ) -> Result<Xact, Error> {
        loop {
            let to = horizon.min(Xact(from.0.saturating_add(self.range)));
            let attempts = execution::count_between(client, from, to).await?;
            if attempts > ATTEMPTS_AT_ONCE && self.range > SMALLEST_RANGE {
                self.range = (self.range / 2).max(SMALLEST_RANGE);
                continue;
            }
            if attempts < ATTEMPTS_AT_ONCE / 2 {
                self.range = self.range.saturating_mul(2);
            }
            return Ok(to);
        }
    }
}
