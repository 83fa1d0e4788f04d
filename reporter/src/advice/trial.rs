//! Builds each index that may be missing, looks what its statement costs then, and drops it again. The table can be used meanwhile;
//! each write to it pays for the index as long as it is there.

use std::time::Duration;

use anyhow::{Context as _, bail};
use shared::db::care::table;
use shared::db::care::work::{Failure, Session};
use shared::db::statement::plan;
use shared::db::{Database, Error};
use shared::work::maintain::Table;
use tokio_util::sync::CancellationToken;

use super::Figure;
use super::missing::Missing;

/// How long what was interrupted may take to go.
const CLEAN_UP: Duration = Duration::from_secs(30);
/// What is to be done where it did not.
const LEFT: &str = "an index `holdfast_trial_..` may be left: the next `reporter db advise --try`, or a task that reindexes, drops it";

/// How indexes are tried.
pub(super) struct Trial<'a> {
    pub(super) database: &'a Database,
    pub(super) cancel: &'a CancellationToken,
    /// How long somebody else's work on a table is waited for.
    pub(super) patience: Duration,
}

impl Trial<'_> {
    /// Tries each of them. What another trial left behind when it was killed goes first.
    pub(super) async fn measure(
        &self,
        tables: &[table::State],
        missing: &mut [Missing],
    ) -> anyhow::Result<()> {
        let session = Session::open(self.database, self.cancel, self.patience).await?;
        let measured = self.measure_all(&session, tables, missing).await;
        drop(session);
        match measured {
            Err(Failure::Cancelled) => {
                self.clean_up().await.with_context(|| format!("interrupted: {LEFT}"))?;
                bail!("interrupted: what was tried is dropped")
            }
            measured => Ok(measured?),
        }
    }

    async fn measure_all(
        &self,
        session: &Session,
        tables: &[table::State],
        missing: &mut [Missing],
    ) -> Result<(), Failure> {
        session.drop_trials(Table::ALL).await?;
        for missing in missing {
            let Some(table) = tables.iter().find(|table| table.name == missing.table) else { continue };
            let look = async |name: &str, took: Duration| {
                let planning = plan::session(self.database).await?;
                let plan = plan::explain_text(&planning, &missing.text, plan::Form::Json).await?;
                let bytes = session.index_bytes(&[table.table], name).await?.unwrap_or_default();
                Ok::<_, Error>((plan.cost().unwrap_or_default(), bytes, took))
            };
            let (cost, bytes, took) = session.try_index(table, &missing.columns, look).await?;
            missing.advice.after = Some(Figure::cost(cost));
            missing.advice.why = format!(
                "{}; tried: it takes {} and was built in {:.1} s",
                missing.advice.why,
                shared::terminal::bytes(bytes),
                took.as_secs_f64()
            );
        }
        Ok(())
    }

    async fn clean_up(&self) -> anyhow::Result<()> {
        let session = Session::open(self.database, &CancellationToken::new(), CLEAN_UP).await?;
        tokio::time::timeout(CLEAN_UP, session.drop_trials(Table::ALL)).await??;
        Ok(())
    }
}
