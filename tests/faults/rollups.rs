//! Rollups beside a fault: made while it lasts, and compared with a recount in the end.

use std::time::Duration;

use reporter::rollup::{Checked, Step, check, step};
use shared::db::Database;
use tokio::task::JoinSet;

use super::arena::until;
use super::report::{Bar, bar};

/// How often is rolled up.
const REST: Duration = Duration::from_millis(300);
/// For how long transactions of others may be in the way in the end.
const LIMIT: Duration = Duration::from_mins(1);

/// Rolls up in this process until it is dropped, as the leader of the reporters does, and as many faults let it.
pub(super) struct Rolling {
    database: Database,
    _running: JoinSet<()>,
}

impl Rolling {
    /// Begins.
    pub(super) fn begin(database_url: &str) -> Self {
        let database = Database::new(&database_url.into(), "holdfast test").expect("a database's URL");
        let mut running = JoinSet::new();
        running.spawn({
            let database = database.clone();
            async move {
                loop {
                    if let Ok(mut client) = database.client().await {
                        // What failed is tried again.
                        _ = step(&mut client).await;
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        });
        Self { database, _running: running }
    }

    /// Rolls the rest up and compares all with a recount.
    pub(super) async fn close(self) -> Bar {
        let checked = until("all attempts are rolled up", LIMIT, async || self.complete().await.ok()?).await;
        let (attempts, different) = (checked.differences.attempts, checked.differences.rows);
        bar(
            checked.is_clean(),
            format!("I9: rollups equal a recount of {attempts} attempts, {different} differ"),
        )
    }

    /// The comparison, once every attempt is rolled up.
    async fn complete(&self) -> Result<Option<Checked>, shared::db::Error> {
        let mut client = self.database.client().await?;
        while let Step::More(_) = step(&mut client).await? {}
        let checked = check(&mut client).await?;
        let attempts: i64 = client.query_one("select count(*) from execution", &[]).await?.try_get(0)?;
        let all = u64::try_from(attempts).unwrap_or(0) <= checked.differences.attempts;
        Ok((all || !checked.is_clean()).then_some(checked))
    }
}
