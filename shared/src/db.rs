//! The database: one file a table, one function a statement, in the order of a row's life.

pub mod copy;
pub mod dead_task;
pub mod evidence;
pub mod execution;
pub mod job;
pub mod known_id;
pub mod lease;
pub mod manifest;
pub mod migration;
pub mod partition;
pub mod report;
pub mod repository_lock;
pub mod restore_point;
pub mod target;
pub mod task;
pub mod worker;

pub mod compliance;

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{
    Client, GenericClient, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
    Transaction,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, Row, Statement};

/// The most connections that one process opens.
const POOL_SIZE: usize = 10;
/// How long a caller waits for a free connection, as the predecessor did under load.
const POOL_WAIT: Duration = Duration::from_secs(30);
/// How long opening or checking a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be understood.
    #[error("DATABASE_URL: {0}")]
    Url(String),
    /// No connection could be had.
    #[error("no database connection: {}", describe_pool(.0))]
    Pool(PoolError),
    /// PostgreSQL refused a statement, or the connection broke.
    #[error("database: {}", describe(.0))]
    Postgres(tokio_postgres::Error),
    /// A stored value is none that this version writes.
    #[error("column {column}: {why}")]
    Value {
        /// Which column.
        column: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl Error {
    /// Whether the rows of the statement are at fault, so that it fails whenever it is tried: bad data, a broken
    /// constraint, a limit. Everything else, also a missing table or a read-only server, can be mended without them.
    #[must_use]
    pub fn blames_the_rows(&self) -> bool {
        match self {
            Self::Pool(_) | Self::Url(_) => false,
            Self::Value { .. } => true,
            Self::Postgres(error) => error.code().is_some_and(|code| {
                let data_constraint_limit = ["22", "23", "54"];
                data_constraint_limit.iter().any(|class| code.code().starts_with(class))
            }),
        }
    }

    /// Whether two transactions were in each other's way, so that trying again at once is right.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        let conflicts = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
        matches!(self, Self::Postgres(error) if error.code().is_some_and(|code| conflicts.contains(code)))
    }
}

fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) if *db.code() == SqlState::UNDEFINED_TABLE => {
            format!("{}: run `producer migrate` first", db.message())
        }
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => {
            let source = std::error::Error::source(error);
            source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        }
    }
}

fn describe_pool(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => describe(error),
        PoolError::Timeout(_) => {
            format!(
                "all {POOL_SIZE} connections stayed busy for {} s, or the server did not answer",
                POOL_WAIT.as_secs()
            )
        }
        other => other.to_string(),
    }
}

/// The connections of one process.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
}

impl Database {
    /// Prepares the pool; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL cannot be understood. The message never holds the URL, because a password may stand in it.
    pub fn new(url: &SecretString, process: &str) -> Result<Self, Error> {
        let mut config: tokio_postgres::Config = url
            .expose_secret()
            .parse()
            .map_err(|error: tokio_postgres::Error| Error::Url(describe(&error)))?;
        config.application_name(process).connect_timeout(CONNECT_TIMEOUT);
        // A peer that is gone without a word is noticed within a third of a lease, not after the kernel's 15 minutes.
        config.tcp_user_timeout(Duration::from_secs(15)).keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, NoTls, manager_config))
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(POOL_WAIT),
                create: Some(CONNECT_TIMEOUT),
                recycle: Some(CONNECT_TIMEOUT),
            })
            .build()
            .map_err(|error| Error::Url(error.to_string()))?;
        Ok(Self { pool })
    }

    /// A connection of the pool.
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(self.pool.get().await?)
    }

    /// How the pool is used at this moment.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus { size: status.size, available: status.available, waiting: status.waiting }
    }

    /// Has all statements prepared anew, on every connection: a migration may have made their plans invalid.
    pub fn forget_statements(&self) {
        self.pool.manager().statement_caches.clear();
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.client().await?.simple_query("select 1").await?;
        Ok(())
    }
}

/// The time on the database's clock, also within a transaction that began earlier.
pub async fn now<C: GenericClient>(client: &C) -> Result<DateTime<Utc>, Error> {
    let statement = prepared(client, "select clock_timestamp()").await?;
    Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
}

/// The use of a process's connections, in numbers of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Open.
    pub size: usize,
    /// Open and free.
    pub available: usize,
    /// Callers that wait for one.
    pub waiting: usize,
}

/// Proof that a transaction was committed: only what holds one may be acknowledged.
#[derive(Debug, Clone, Copy)]
#[must_use = "what rests on the commit can be acknowledged now"]
pub struct Committed(());

/// Commits, and gives the proof of it.
pub async fn commit(transaction: Transaction<'_>) -> Result<Committed, Error> {
    transaction.commit().await?;
    Ok(Committed(()))
}

/// Prepares a statement once a connection.
async fn prepared<C: GenericClient>(client: &C, statement: &str) -> Result<Statement, Error> {
    Ok(client.prepare_cached(statement).await?)
}

/// Reads a text column into one of our own types.
fn parsed<T>(row: &Row, column: &'static str) -> Result<T, Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| Error::Value { column, why: error.to_string() })
}

/// Reads a JSON column into one of our own types.
fn from_json<T: serde::de::DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, Error> {
    let value: serde_json::Value = row.try_get(column)?;
    serde_json::from_value(value).map_err(|error| Error::Value { column, why: error.to_string() })
}

/// Turns one of our own types into a JSON column's value.
fn to_json<T: serde::Serialize>(column: &'static str, value: &T) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::Value { column, why: error.to_string() })
}

/// PostgreSQL counts in signed numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Sizes and counts are never stored below zero.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
