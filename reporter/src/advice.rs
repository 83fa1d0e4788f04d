//! What would help the database, with the figures that say so.
//!
//! Each piece of advice says what it rests on: what the server *measured*, or what was *estimated* from its statistics. Nothing is
//! changed by looking; only `--try` builds an index that is missing, looks what it changes, and drops it again.

mod bloat;
mod missing;
mod trial;
mod unused;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::db::care::bloat::Basis;
use shared::db::care::{server, table};
use shared::db::statement::plan;
use shared::db::{self, Database};
use shared::work::maintain::Table;
use tokio_util::sync::CancellationToken;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An index would spare much reading.
    MissingIndex,
    /// An index was broken off while it was built: it costs and serves nobody.
    InvalidIndex,
    /// Nothing has used an index.
    UnusedIndex,
    /// Another index does the same.
    DuplicateIndex,
    /// Much of an index is empty.
    BloatedIndex,
    /// Much of a table is empty.
    BloatedTable,
    /// Many rows of a table are dead.
    DeadRows,
    /// Plans rest on old statistics.
    OldStatistics,
}

impl Kind {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::MissingIndex => "missing index",
            Self::InvalidIndex => "invalid index",
            Self::UnusedIndex => "unused index",
            Self::DuplicateIndex => "duplicate index",
            Self::BloatedIndex => "bloated index",
            Self::BloatedTable => "bloated table",
            Self::DeadRows => "dead rows",
            Self::OldStatistics => "old statistics",
        }
    }
}

/// A figure before or after, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Bytes, rows, or what a plan costs.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// Where it comes from.
    pub basis: Basis,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes on disk.
    Bytes,
    /// Rows.
    Rows,
    /// What the planner thinks: a page that is read in sequence is 1.
    Cost,
}

impl Figure {
    fn bytes(bytes: i64, basis: Basis) -> Self {
        Self { value: bytes as f64, unit: Unit::Bytes, basis }
    }

    fn rows(rows: i64) -> Self {
        Self { value: rows as f64, unit: Unit::Rows, basis: Basis::Estimated }
    }

    fn cost(cost: f64) -> Self {
        Self { value: cost, unit: Unit::Cost, basis: Basis::Planned }
    }
}

/// What would help.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// What is wrong.
    pub kind: Kind,
    /// With what: the name of an index or a table, or what an index would be over.
    pub object: String,
    /// Of which table.
    pub table: String,
    /// Why that is said.
    pub why: String,
    /// How it is.
    pub before: Figure,
    /// How it would be; `None` where nobody knows without trying.
    pub after: Option<Figure>,
    /// What to do: a command of ours, or a statement.
    pub remedy: String,
}

/// All that would help, and what could not be looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// Since when the server counts what was used.
    pub counted_since: DateTime<Utc>,
    /// What would help, the most urgent first.
    pub advice: Vec<Advice>,
    /// What was not looked at, and why.
    pub notes: Vec<String>,
}

/// How thoroughly to look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// For how long the server must have counted before an index is called unused.
    pub counted_for: Duration,
    /// Whether missing indexes are built, measured and dropped again; and how long somebody else's work on a table is waited for then.
    pub tries: Option<Duration>,
}

/// Looks at everything.
///
/// # Errors
/// The database's; or `cancel` came while something was tried.
pub async fn find(database: &Database, look: Look, cancel: &CancellationToken) -> anyhow::Result<Findings> {
    let client = database.client().await?;
    let usage = server::usage(&client).await?;
    let tables = table::states(&client, Table::ALL).await?;
    let mut notes = Vec::new();
    let mut advice = unused::invalid(&client).await?;
    let counted = db::now(&client).await? - usage.counted_since;
    if counted.to_std().is_ok_and(|counted| counted >= look.counted_for) {
        advice.extend(unused::unused(&client).await?);
    } else {
        notes.push(format!(
            "unused indexes were not looked for: the server counts since {}, for less than {}",
            super::commands::moment(usage.counted_since),
            humantime::format_duration(look.counted_for)
        ));
    }
    advice.extend(unused::duplicates(&client).await?);
    advice.extend(bloat::indexes(&client).await?);
    advice.extend(bloat::tables(&client, &tables).await?);
    advice.extend(bloat::statistics(&client).await?);
    drop(client);
    let session = plan::session(database).await?;
    let mut missing = missing::find(&session, &tables, &mut notes).await?;
    drop(session);
    if let Some(patience) = look.tries {
        let trial = trial::Trial { database, cancel, patience };
        trial.measure(&tables, &mut missing).await?;
    }
    advice.extend(missing.into_iter().map(|missing| missing.advice));
    advice.sort_by_key(|advice| advice.kind);
    Ok(Findings { counted_since: usage.counted_since, advice, notes })
}
