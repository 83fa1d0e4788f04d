//! The work on tables and indexes: vacuum, analyze, reindex. It runs on a connection of its own, outside of any transaction, because
//! the server takes it no other way, and ends with its task: the server's statement too.

use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::super::statement::{Command, command, statement};
use super::super::{Database, Error, cancel};
use super::{OURS, bloat, index, names, table};
use crate::work::maintain::Table;

/// The first half of the advisory locks that keep two from working on one table: "care" in ASCII. The second is the table's number.
const LOCK: i32 = 0x6361_7265;
/// How often a table is asked for that somebody else works on.
const LOOK: Duration = Duration::from_millis(250);

/// It takes hours if it must, but not longer than its client lives; and it goes at the pace of autovacuum, because nobody waits
/// for it. Building an index concurrently waits for all transactions that are older, which is no lock that others stand behind.
const SESSION: &str = "set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0; \
     set client_connection_check_interval = '5s'; set vacuum_cost_delay = '2ms'; set enable_seqscan = on";

/// A session that does the work, one thing after the other. Once it was cancelled it does nothing any more, and is to be dropped.
pub struct Session {
    client: Client,
    canceller: cancel::Canceller,
    cancel: CancellationToken,
    patience: Duration,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The task came to its end first; what was done stays so, and what was begun is undone.
    #[error("cancelled")]
    Cancelled,
    /// Somebody else took too long.
    #[error("somebody else works on {table} and has not ended within {}", humantime::format_duration(*.patience))]
    Busy {
        /// On what.
        table: String,
        /// How long that was waited for.
        patience: Duration,
    },
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
    /// Opens a connection that the pool does not get back. `cancel` ends what it does at any time; for somebody else's work on a table
    /// it waits no longer than `patience`.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(
        database: &Database,
        cancel: &CancellationToken,
        patience: Duration,
    ) -> Result<Self, Error> {
        let client = database.beside(SESSION).await?;
        let canceller = database.canceller(&client);
        Ok(Self { client, canceller, cancel: cancel.clone(), patience })
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
        let text = format!("vacuum (analyze) {}", table.name);
        self.alone(table.oid, &table.name, command!("care.vacuum"), &text).await
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
        self.alone(table, &index.of, command!("care.reindex"), &text).await
    }

    /// Builds an index on some columns, has it looked at by its name and the time that it took, and removes it again; nobody else works
    /// on the table meanwhile.
    ///
    /// # Errors
    /// See [`Failure`], and those of the look. What a cancelled one leaves behind is removed by [`Session::drop_trials`].
    pub async fn try_index<T>(
        &self,
        table: &table::State,
        columns: &[String],
        look: impl AsyncFnOnce(&str, Duration) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let name = format!("holdfast_trial_{}", table.oid);
        let text = format!("create index concurrently {name} on {} ({})", table.name, columns.join(", "));
        self.lock(table.oid, &table.name).await?;
        let looked = match self.run(command!("care.build_trial"), &text).await {
            Ok(took) => look(&name, took).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        // Whatever came of it, nothing is left behind.
        let text = format!("drop index concurrently if exists {name}");
        self.run(command!("care.drop_trial"), &text).await?;
        self.unlock(table.oid).await?;
        looked
    }

    /// Removes what [`Session::try_index`] left behind when it was cancelled or killed; returns the names.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn drop_trials(&self, tables: &[Table]) -> Result<Vec<String>, Failure> {
        let trials = self.leftovers(tables, true).await?;
        self.drop_indexes(trials).await
    }

    /// Removes what builds of indexes left behind that were broken off, trials too; returns the names. One that is being built now is
    /// kept: its session holds its table's lock.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn drop_leftovers(&self, tables: &[Table], dry_run: bool) -> Result<Vec<String>, Failure> {
        let leftovers = self.leftovers(tables, false).await?;
        if dry_run {
            return Ok(leftovers.into_iter().map(|leftover| leftover.index).collect());
        }
        self.drop_indexes(leftovers).await
    }

    async fn leftovers(&self, tables: &[Table], only_trials: bool) -> Result<Vec<Leftover>, Failure> {
        let statement = statement!(
            "care.leftovers",
            format!(
                "with {OURS}
                 select o.oid, o.oid::regclass::text as of, i.indexrelid::regclass::text as name
                 from ours o join pg_index i on i.indrelid = o.oid join pg_class c on c.oid = i.indexrelid
                 where c.relname = 'holdfast_trial_' || o.oid
                     or (not $2 and not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$')
                 order by 3"
            )
        );
        let rows = statement.query(&self.client, &[&names(tables), &only_trials]).await?;
        rows.iter()
            .map(|row| {
                let (table, of, index) = (row.try_get("oid")?, row.try_get("of")?, row.try_get("name")?);
                Ok(Leftover { table, of, index })
            })
            .collect()
    }

    async fn drop_indexes(&self, leftovers: Vec<Leftover>) -> Result<Vec<String>, Failure> {
        let mut dropped = Vec::new();
        for Leftover { table, of, index } in leftovers {
            let text = format!("drop index concurrently if exists {index}");
            self.alone(table, &of, command!("care.drop_leftover"), &text).await?;
            dropped.push(index);
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
    async fn alone(
        &self,
        table: u32,
        name: &str,
        command: &'static Command,
        text: &str,
    ) -> Result<Duration, Failure> {
        self.lock(table, name).await?;
        let done = self.run(command, text).await;
        // The connection of what was cancelled may be at it still; the lock goes with the session.
        if !matches!(done, Err(Failure::Cancelled)) {
            self.unlock(table).await?;
        }
        done
    }

    async fn lock(&self, table: u32, name: &str) -> Result<(), Failure> {
        let lock = statement!("care.lock", "select pg_try_advisory_lock($1, $2)");
        let began = Instant::now();
        // Not waited for by the server: whoever holds the lock may wait for all transactions that are older, hence for ours.
        while !lock.query_one(&self.client, &[&LOCK, &second(table)]).await?.try_get::<_, bool>(0)? {
            if began.elapsed() >= self.patience {
                return Err(Failure::Busy { table: name.to_owned(), patience: self.patience });
            }
            if self.cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return Err(Failure::Cancelled);
            }
        }
        Ok(())
    }

    async fn unlock(&self, table: u32) -> Result<(), Failure> {
        let unlock = statement!("care.unlock", "select pg_advisory_unlock($1, $2)");
        unlock.query_one(&self.client, &[&LOCK, &second(table)]).await?;
        Ok(())
    }

    async fn run(&self, command: &'static Command, text: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        let running = command.run(&self.client, text);
        match cancel::until(&self.cancel, &self.canceller, running).await {
            Some(done) => done?,
            None => return Err(Failure::Cancelled),
        }
        Ok(began.elapsed())
    }
}

/// What a build that was broken off has left behind.
struct Leftover {
    table: u32,
    of: String,
    index: String,
}

/// The lock's second half is as wide as a table's number, which may be above what an `integer` shows.
const fn second(table: u32) -> i32 {
    i32::from_ne_bytes(table.to_ne_bytes())
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
