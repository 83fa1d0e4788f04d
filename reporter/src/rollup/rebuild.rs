//! Counts again what the rollups say, day by day.

use chrono::{DateTime, Utc};
use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::{self, Error, execution, rollup};

/// What was counted again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Days.
    pub days: u64,
    /// Attempts in them.
    pub attempts: u64,
    /// Attempts that bore numbers of another server's transactions.
    pub renumbered: u64,
}

/// Counts all days again whose attempts are there, each with its hours in one transaction, during which nobody else rolls up; tells of each
/// day and its attempts. Older days stay as they are. What was written meanwhile is rolled up by the leader as ever.
///
/// # Errors
/// The database's. Days that were told of are done.
pub async fn rebuild(
    client: &mut Client,
    mut tell: impl FnMut(DateTime<Utc>, u64),
) -> Result<Rebuilt, Error> {
    return_to_this_server(client).await?;
    let mut rebuilt = Rebuilt::default();
    let state = rollup::state(client).await?;
    for day in rollup::days(client, &state).await? {
        let transaction = client.transaction().await?;
        let state = rollup::lock(&transaction).await?;
        // Its month may have been dropped meanwhile: what is rolled up is all that is left of it.
        if state.whole_since.is_some_and(|since| day < since) {
            continue;
        }
        rebuilt.renumbered += rollup::renumber(&transaction, day).await?;
        rollup::clear(&transaction, day).await?;
        let now = db::now(&transaction).await?;
        let attempts = rollup::recount(&transaction, &state, day, now).await?;
        let _committed = db::commit(transaction).await?;
        rebuilt.days += 1;
        rebuilt.attempts += attempts;
        tell(day, attempts);
    }
    Ok(rebuilt)
}

/// Has the state name a transaction of this server.
async fn return_to_this_server(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let state = rollup::lock(&transaction).await?;
    let horizon = execution::horizon(&transaction).await?;
    if state.xact > horizon {
        rollup::set_state(&transaction, horizon).await?;
    }
    let _committed = db::commit(transaction).await?;
    Ok(())
}
