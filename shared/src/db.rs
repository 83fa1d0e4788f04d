//! The database: one file a table, one function a statement, in the order of a row's life.

pub mod alert;
pub mod alert_evaluation;
pub mod alert_event;
pub mod alert_setting;
pub mod api_token;
pub mod audit;
pub mod backlog;
pub mod cache_version;
pub mod cancel;
pub mod cap;
pub mod care;
pub mod channel;
pub mod compliance_hour;
pub mod dead_task;
pub mod definition;
pub mod delivery;
pub mod evidence;
pub mod evidence_kept;
pub mod execution;
pub mod freshness;
pub mod idempotency;
pub mod job;
pub mod job_health;
pub mod keeping;
pub mod known_id;
pub mod leader;
pub mod lease;
pub mod leftover;
pub mod limit;
pub mod line;
pub mod maintenance;
pub mod manifest;
pub mod migration;
pub mod notification;
pub mod page;
pub mod partition;
pub mod pool_setting;
pub mod pulse;
pub mod readable;
pub mod recovery;
pub mod replica;
pub mod report;
pub mod repository_lock;
pub mod restore_point;
mod rights;
pub mod rollup;
pub mod route;
pub mod running;
pub mod schedule;
pub mod session;
pub mod silence;
pub mod statement;
pub mod sweep;
pub mod target;
pub mod target_health;
pub mod task;
pub mod token;
pub mod unrouted;
pub mod worker;

mod bulk;
mod columns;
pub mod compliance;
mod config;
mod error;
mod location;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{
    Client, GenericClient, Hook, HookError, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType, Timeouts, Transaction,
};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

pub use cancel::Canceller;
pub use config::{DatabaseConfig, check_url};
pub use error::Error;
use location::Location;
use statement::{command, statement};

/// How long opening or checking a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections of one process.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    wait: Duration,
    exhausted: Arc<AtomicU64>,
    location: Location,
    session: String,
    slow: Duration,
}

impl Database {
    /// Prepares the pool; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL cannot be understood. The message never holds the URL, because a password may stand in it.
    pub fn new(database: &DatabaseConfig, process: &str) -> Result<Self, Error> {
        let mut location = Location::read(&database.url, &database.trust).map_err(Error::Url)?;
        let config = &mut location.config;
        config.application_name(process).connect_timeout(CONNECT_TIMEOUT);
        // A peer that is gone without a word is noticed within a third of a lease, not after the kernel's 15 minutes.
        config.tcp_user_timeout(Duration::from_secs(15)).keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        let recycling_method =
            if database.verify_connections { RecyclingMethod::Verified } else { RecyclingMethod::Fast };
        let lifetime = database.connection_lifetime;
        let session = config::session(database);
        let of_each = session.clone();
        let pool = Pool::builder(location.manager(ManagerConfig { recycling_method }))
            .max_size(database.pool_size)
            .post_create(Hook::async_fn(move |client, _| {
                let session = of_each.clone();
                Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
            }))
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                if metrics.age() < lifetime {
                    Ok(())
                } else {
                    Err(HookError::message("the connection is old"))
                }
            }))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(database.pool_wait),
                create: Some(CONNECT_TIMEOUT),
                recycle: Some(CONNECT_TIMEOUT),
            })
            .build()
            .map_err(|error| Error::Url(error.to_string()))?;
        let (wait, slow) = (database.pool_wait, database.slow_statement);
        Ok(Self { pool, wait, exhausted: Arc::default(), location, session, slow })
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// None was free in time ([`Error::Exhausted`]), or the server does not answer.
    pub async fn client(&self) -> Result<Client, Error> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                self.exhausted.fetch_add(1, Ordering::Relaxed);
                Error::Exhausted { size: self.pool.status().max_size, wait: self.wait }
            }
            error => Error::Pool { place: self.location.place(), error },
        })
    }

    /// A connection beside the pool, with the settings that the pool's have and `more` of its own. It is closed with its last use:
    /// nobody else gets its settings.
    ///
    /// # Errors
    /// The server does not answer, or refuses a setting.
    pub async fn beside(&self, more: &str) -> Result<Client, Error> {
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let timeouts = Timeouts { create: Some(CONNECT_TIMEOUT), ..Timeouts::new() };
        // A pool for this one connection, which outlives it.
        let pool = Pool::builder(self.location.manager(manager))
            .max_size(1)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .build()
            .map_err(|error| Error::Url(error.to_string()))?;
        let client = pool.get().await.map_err(|error| Error::Pool { place: self.location.place(), error })?;
        command!("database.beside").run(&client, &format!("{}; {more}", self.session)).await?;
        Ok(client)
    }

    /// How the pool is used at this moment.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            limit: status.max_size,
            size: status.size,
            available: status.available,
            waiting: status.waiting,
            exhausted: self.exhausted.load(Ordering::Relaxed),
        }
    }

    /// Who can have the server end what a session of this database does.
    #[must_use]
    pub fn canceller(&self, client: &Client) -> Canceller {
        Canceller::new(self.location.clone(), client.cancel_token())
    }

    /// Has all statements prepared anew, on every connection: a migration may have made their plans invalid.
    pub fn forget_statements(&self) {
        self.pool.manager().statement_caches.clear();
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        statement!("database.ping", "select 1").query_one(&self.client().await?, &[]).await?;
        Ok(())
    }
}

/// The time on the database's clock, also within a transaction that began earlier.
pub async fn now<C: GenericClient>(client: &C) -> Result<DateTime<Utc>, Error> {
    let statement = statement!("clock.now", "select clock_timestamp()");
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// The use of a process's connections, in numbers of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// The most that are opened.
    pub limit: usize,
    /// Open.
    pub size: usize,
    /// Open and free.
    pub available: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// Callers that waited in vain, since the process began.
    pub exhausted: u64,
}

/// Gives a piece of work on the database so long. When the time is over it is dropped, and its transaction rolled
/// back as soon as the server answers; whether a commit that was under way took place is then unknown.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::TimedOut(limit)))
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
    let JsonText(text) = row.try_get(column)?;
    serde_json::from_slice(text).map_err(|error| Error::Value { column, why: error.to_string() })
}

/// The text of a JSON column. `tokio_postgres::types::Json` would parse it as well, but its errors are those of a broken
/// connection: a stored value that this version cannot read must be told from one.
struct JsonText<'a>(&'a [u8]);

impl<'a> FromSql<'a> for JsonText<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // The binary form of `jsonb` is its version and the text.
        match (kind, raw) {
            (&Type::JSONB, [1, text @ ..]) | (&Type::JSON, text) => Ok(Self(text)),
            _ => Err("an unknown form of jsonb".into()),
        }
    }

    tokio_postgres::types::accepts!(JSON, JSONB);
}

/// PostgreSQL counts in signed numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Sizes and counts are never stored below zero.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
