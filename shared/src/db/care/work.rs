//! The work on tables and indexes: vacuum, analyze, reindex. It runs on a connection of its own, outside of any transaction, because
//! the server takes it no other way, and ends with its task: the server's statement too.

use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::super::statement::{Command, command, statement};
use super::super::{Database, Error};
use super::{OURS, bloat, index, names, table};
use crate::work::maintain::Table;

/// The first half of the advisory locks that keep two from working on one table: "care" in ASCII. The second is the table's number.
const LOCK: i32 = 0x6361_7265;
/// How often a table is asked for that somebody else works on.
const LOOK: Duration = Duration::from_millis(250);
/// How long a statement that was cancelled may take to end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// It takes hours if it must, but not longer than its client lives; and it goes at the pace of autovacuum, because nobody waits
/// for it. Building an index concurrently waits for all transactions that are older, which is no lock that others stand behind.
const SESSION: &str = "set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0; \
     set client_connection_check_interval = '5s'; set vacuum_cost_delay = '2ms'; set enable_seqscan = on";

/// A session that does the work, one thing after the other.
pub struct Session {
    client: Client,
    cancel: CancellationToken,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The task came to its end first; what was done stays so, and what was begun is undone.
    #[error("cancelled")]
    Cancelled,
    /// The database.
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Session {
    /// Opens a connection that the pool does not get back. `cancel` ends what it does at any time.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(database: &Database, cancel: &CancellationToken) -> Result<Self, Error> {
        Ok(Self { client: database.beside(SESSION).await?, cancel: cancel.clone() })
    }

    /// What the session reads by.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Vacuums a table and has its statistics made anew; returns how long it took.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn vacuum(&self, table: &table::State) -> Result<Duration, Failure> {
        self.alone(table.oid, command!("care.vacuum"), &format!("vacuum (analyze) {}", table.name)).await
    }

    /// Has the planner's statistics of a table made anew; returns how long it took.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn analyze(&self, name: &str) -> Result<Duration, Failure> {
        self.run(command!("care.analyze"), &format!("analyze {name}")).await
    }

    /// Builds an index anew while the old one is used, and puts it in its place; returns how long it took.
    ///
    /// # Errors
    /// See [`Failure`]. What is left of a new index then is removed by [`Session::drop_leftovers`].
    pub async fn reindex(&self, table: u32, index: &bloat::Bloat) -> Result<Duration, Failure> {
        let text = format!("reindex index concurrently {}", index.name);
        self.alone(table, command!("care.reindex"), &text).await
    }

    /// Builds an index on some columns, under a name that says what it is for; returns its name and how long it took.
    ///
    /// # Errors
    /// See [`Failure`]. What is left of it then has the name that [`Session::drop_trial`] takes.
    pub async fn build_trial(
        &self,
        table: &table::State,
        columns: &[String],
    ) -> Result<(String, Duration), Failure> {
        let name = format!("holdfast_trial_{}", table.oid);
        let text = format!("create index concurrently {name} on {} ({})", table.name, columns.join(", "));
        let took = self.alone(table.oid, command!("care.build_trial"), &text).await?;
        Ok((name, took))
    }

    /// Removes the index that [`Session::build_trial`] made of a table.
    ///
    /// # Errors
    /// The database's.
    pub async fn drop_trial(&self, table: &table::State) -> Result<(), Error> {
        let text = format!("drop index concurrently if exists holdfast_trial_{}", table.oid);
        Ok(command!("care.drop_trial").run(&self.client, &text).await?)
    }

    /// Removes what builds of indexes left behind that were broken off; returns the names. One that is being built now is kept: its
    /// session holds its table's lock.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn drop_leftovers(&self, tables: &[Table], dry_run: bool) -> Result<Vec<String>, Failure> {
        let statement = statement!(
            "care.leftovers",
            format!(
                "with {OURS}
                 select o.oid, i.indexrelid::regclass::text as name
                 from ours o join pg_index i on i.indrelid = o.oid join pg_class c on c.oid = i.indexrelid
                 where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$' order by 2"
            )
        );
        let rows = statement.query(&self.client, &[&names(tables)]).await?;
        let mut dropped = Vec::new();
        for row in &rows {
            let (table, name): (u32, String) = (row.try_get("oid")?, row.try_get("name")?);
            if !dry_run {
                let text = format!("drop index concurrently if exists {name}");
                self.alone(table, command!("care.drop_leftover"), &text).await?;
            }
            dropped.push(name);
        }
        Ok(dropped)
    }

    /// The bytes of an index, by its name: it has another number after it was built anew.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_bytes(&self, tables: &[Table], name: &str) -> Result<Option<i64>, Error> {
        let indexes = index::states(&self.client, tables).await?;
        Ok(indexes.into_iter().find(|index| index.name == name).map(|index| index.bytes))
    }

    /// Runs something while nobody else like us works on the table.
    async fn alone(&self, table: u32, command: &'static Command, text: &str) -> Result<Duration, Failure> {
        // The lock's second half is as wide as the number, which may be above what an `integer` shows.
        let key = i32::from_ne_bytes(table.to_ne_bytes());
        let (lock, unlock) = (
            statement!("care.lock", "select pg_try_advisory_lock($1, $2)"),
            statement!("care.unlock", "select pg_advisory_unlock($1, $2)"),
        );
        // Not waited for by the server: whoever holds the lock may wait for all transactions that are older, hence for ours.
        while !lock.query_one(&self.client, &[&LOCK, &key]).await?.try_get::<_, bool>(0)? {
            if self.cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return Err(Failure::Cancelled);
            }
        }
        let done = self.run(command, text).await;
        unlock.query_one(&self.client, &[&LOCK, &key]).await?;
        done
    }

    async fn run(&self, command: &'static Command, text: &str) -> Result<Duration, Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        let began = Instant::now();
        let running = command.run(&self.client, text);
        tokio::pin!(running);
        tokio::select! {
            done = &mut running => {
                done?;
                return Ok(began.elapsed());
            }
            () = self.cancel.cancelled() => {}
        }
        // Whoever only stopped waiting would leave the server at it.
        let ended = async {
            self.client.cancel_token().cancel_query(NoTls).await?;
            _ = running.await;
            Ok::<_, tokio_postgres::Error>(())
        };
        _ = tokio::time::timeout(CANCEL_TIMEOUT, ended).await;
        Err(Failure::Cancelled)
    }
}

/// Tables among some that hold rows and are to be vacuumed: those that were named, or else those that need it.
///
/// # Errors
/// The database's.
pub async fn to_vacuum(session: &Session, named: &[Table]) -> Result<Vec<table::State>, Error> {
    if named.is_empty() {
        let all = table::states(&session.client, Table::ALL).await?;
        return Ok(all.into_iter().filter(table::State::needs_vacuum).collect());
    }
    table::states(&session.client, named).await
}

/// Indexes of some tables that are to be built anew: all, or only those for which that is worth its while. What was estimated is
/// measured first where the server can do that. Each comes with the number of its table.
///
/// # Errors
/// The database's.
pub async fn to_reindex(
    session: &Session,
    tables: &[Table],
    all: bool,
) -> Result<Vec<(u32, bloat::Bloat)>, Error> {
    let client = &session.client;
    let states = table::states(client, tables).await?;
    let number = |name: &str| states.iter().find(|state| state.name == name).map(|state| state.oid);
    let estimated = bloat::indexes(client, tables).await?;
    let mut chosen = Vec::new();
    if all {
        for index in index::states(client, tables).await?.into_iter().filter(|index| index.valid) {
            let needed = estimated.iter().find(|bloat| bloat.oid == index.oid);
            let needed = needed.map_or(index.bytes, |bloat| bloat.needed.min(index.bytes));
            let (bytes, basis) = (index.bytes, bloat::Basis::Estimated);
            let bloat = bloat::Bloat { of: index.of, name: index.name, oid: index.oid, bytes, needed, basis };
            chosen.extend(number(&bloat.of).map(|table| (table, bloat)));
        }
        return Ok(chosen);
    }
    for index in worth_it(client, estimated).await? {
        chosen.extend(number(&index.of).map(|table| (table, index)));
    }
    Ok(chosen)
}

/// Those of some indexes that are bloated, measured where the server can do that.
///
/// # Errors
/// The database's.
pub async fn worth_it<C: deadpool_postgres::GenericClient>(
    client: &C,
    estimated: Vec<bloat::Bloat>,
) -> Result<Vec<bloat::Bloat>, Error> {
    let mut worth_it = Vec::new();
    for index in estimated.into_iter().filter(bloat::Bloat::is_worth_it) {
        let index = bloat::measured(client, &index).await?.unwrap_or(index);
        worth_it.extend(index.is_worth_it().then_some(index));
    }
    Ok(worth_it)
}
