//! Whether the rollups are what the attempts say.

use chrono::{DateTime, Utc};
use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::rollup::{self, Differences};
use shared::db::{self, Error, execution};
use tokio_postgres::IsolationLevel;

/// Differences that are named; all are counted.
const NAMED: i64 = 200;

/// How the rollups compare with the attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The transaction before which all is rolled up.
    pub rolled_up_to: u64,
    /// When that was so.
    pub rolled_up_at: DateTime<Utc>,
    /// Whether the state names transactions that this server has not had yet: nothing is rolled up any more until the rollups are
    /// rebuilt.
    pub of_another_server: bool,
    /// What was compared begins here, because earlier months were dropped; `None` where there are all.
    pub whole_since: Option<DateTime<Utc>>,
    /// What differs.
    #[serde(flatten)]
    pub differences: Differences,
}

impl Checked {
    /// Whether all is as it should be.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.differences.rows == 0 && !self.of_another_server
    }
}

/// Compares the rollups with a count of the attempts that are rolled up, in one snapshot. It reads all attempts.
///
/// # Errors
/// The database's.
pub async fn check(client: &mut Client) -> Result<Checked, Error> {
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    // Before the snapshot is taken: no month goes between the two.
    execution::hold_months(&transaction).await?;
    let state = rollup::state(&transaction).await?;
    // After it was taken: what was swept until then is not expected.
    let now = db::now(&transaction).await?;
    let horizon = execution::horizon(&transaction).await?;
    let differences = rollup::differences(&transaction, &state, now, NAMED).await?;
    transaction.rollback().await?;
    Ok(Checked {
        rolled_up_to: state.xact.0,
        rolled_up_at: state.moved_at,
        of_another_server: state.xact > horizon,
        whole_since: state.whole_since,
        differences,
    })
}
