//! Rolls attempts up by hour and day: each once, in the order of the transactions that wrote them, at a cost that goes with how many are
//! new.

mod check;
mod rebuild;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use deadpool_postgres::Client;
use shared::db::{self, Database, Error, compliance_hour, execution, rollup};
use tokio_util::sync::CancellationToken;

pub use check::{Checked, check};
pub use rebuild::{Rebuilt, rebuild};

use crate::events;
use crate::leadership::Lead;

/// Attempts of one transaction: a second or two of work for the database, after which others have their turn. Those that one
/// transaction wrote stay together.
const ATTEMPTS_AT_ONCE: i64 = 100_000;
/// Rows that one statement removes.
const SWEPT_AT_ONCE: i64 = 10_000;

/// What one step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many attempts were rolled up; there may be more.
    More(u64),
    /// So many attempts were rolled up, and all that can be are.
    CaughtUp(u64),
    /// The state names transactions that this server has not had yet, as it does when a dump of another one was restored. Nothing
    /// was done: [`rebuild`] mends it.
    OfAnotherServer,
}

/// Rolls attempts up, in one transaction.
///
/// # Errors
/// The database's; nothing was done then.
pub async fn step(client: &mut Client) -> Result<Step, Error> {
    step_of(client, ATTEMPTS_AT_ONCE).await
}

/// As [`step`], of at most `most` attempts where they are of more than one transaction.
///
/// # Errors
/// As of [`step`].
pub async fn step_of(client: &mut Client, most: i64) -> Result<Step, Error> {
    let transaction = client.transaction().await?;
    let from = rollup::lock(&transaction).await?.xact;
    let horizon = execution::horizon(&transaction).await?;
    if from > horizon {
        return Ok(Step::OfAnotherServer);
    }
    let to = rollup::range_end(&transaction, from, horizon, most).await?;
    let now = db::now(&transaction).await?;
    let attempts = if from < to { rollup::add(&transaction, from, to, now).await? } else { 0 };
    rollup::set_state(&transaction, to).await?;
    let _committed = db::commit(transaction).await?;
    Ok(if to < horizon { Step::More(attempts) } else { Step::CaughtUp(attempts) })
}

/// Rolls up, notes how many jobs comply, and removes what is not kept any more, whenever this process leads, until `stop`.
pub async fn run(mut lead: Lead, database: &Database, rest: Duration, stop: &CancellationToken) {
    let mut duty = Duty::default();
    while lead.is_had(stop).await {
        lead.during(stop, |_| duty.go_on(database, rest)).await;
    }
}

#[derive(Debug, Default)]
struct Duty {
    /// The hour that was noted last.
    noted: Option<DateTime<Utc>>,
    /// The day on which was swept last.
    swept: Option<NaiveDate>,
    /// Whether it was said that the state is of another server.
    is_told: bool,
}

impl Duty {
    async fn go_on(&mut self, database: &Database, rest: Duration) {
        loop {
            if let Err(error) = self.look(database).await {
                events::rolling_up_failed(&error);
            }
            tokio::time::sleep(rest).await;
        }
    }

    async fn look(&mut self, database: &Database) -> Result<(), Error> {
        let mut client = database.client().await?;
        self.roll_up(&mut client).await?;
        let now = db::now(&client).await?;
        if self.noted.is_none_or(|noted| now - noted >= TimeDelta::hours(1)) {
            compliance_hour::sample(&client).await?;
            let into_the_hour = TimeDelta::seconds(now.timestamp().rem_euclid(3600));
            self.noted = Some(now - into_the_hour);
        }
        if self.swept != Some(now.date_naive()) {
            sweep(&client, now).await?;
            self.swept = Some(now.date_naive());
        }
        Ok(())
    }

    async fn roll_up(&mut self, client: &mut Client) -> Result<(), Error> {
        let mut all = 0;
        loop {
            match step(client).await? {
                Step::More(attempts) => all += attempts,
                Step::CaughtUp(attempts) => {
                    events::rolled_up(all + attempts);
                    self.is_told = false;
                    return Ok(());
                }
                Step::OfAnotherServer => {
                    if !std::mem::replace(&mut self.is_told, true) {
                        events::rollups_of_another_server();
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// Removes hours, days and notes that are not kept any more, some rows at a time.
///
/// # Errors
/// The database's; what was removed before stays so.
pub async fn sweep(client: &Client, now: DateTime<Utc>) -> Result<(), Error> {
    compliance_hour::sweep(client, now).await?;
    while rollup::sweep(client, now, SWEPT_AT_ONCE).await? > 0 {}
    Ok(())
}
