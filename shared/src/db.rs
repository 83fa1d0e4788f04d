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
mod error;
mod location;

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{
    Client, GenericClient, Hook, HookError, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType, Timeouts, Transaction,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

pub use cancel::Canceller;
pub use error::Error;
use location::Location;
use statement::{command, statement};

use crate::settings::{Settings, key};
use crate::tls::Trust;

/// How long opening or checking a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A process that stops in the middle of a transaction must not keep its locks, and nobody waits for a lock for longer
/// than a heartbeat can be late.
///
/// Nothing is compiled either: that takes longer than any statement of ours that is meant to be short.
const SESSION: &str =
    "set idle_in_transaction_session_timeout = '15s'; set lock_timeout = '10s'; set jit = off";

/// Nothing is changed by whoever only reads. Its statements follow an index whatever their values are, so that they are planned once: with a
/// year of months, planning takes longer than reading a page does. A statement whose client has gone away is ended.
const READING: &str = "set default_transaction_read_only = on; set plan_cache_mode = force_generic_plan; \
     set client_connection_check_interval = '1s'";

/// Only where there is no index, a table is read from end to end.
const BY_INDEX: &str = "set enable_seqscan = off";

/// Where the database is, and how a process uses its connections.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgres://..`
    pub url: SecretString,
    /// Who may vouch for the server.
    pub trust: Trust,
    /// The most connections that the process opens, from 1; it opens them as they are needed.
    pub pool_size: usize,
    /// How long a caller waits for a free one.
    pub pool_wait: Duration,
    /// How old a connection may become before another one takes its place.
    pub connection_lifetime: Duration,
    /// Whether a connection is asked for a sign of life before it is used again.
    pub verify_connections: bool,
    /// Whether rows are always found by an index where there is one.
    ///
    /// Tables of waiting and running tasks are empty at one moment and full of dead rows at the next: a plan that was
    /// made for the empty table, and reads it from end to end, would be kept for as long as nobody looks again.
    pub by_index: bool,
    /// How long a statement may take before it is logged with its plan; zero is for ever.
    pub slow_statement: Duration,
    /// Whether connections are for reading only: then no statement takes longer than this.
    pub reads_within: Option<Duration>,
}

impl DatabaseConfig {
    /// The defaults are what the predecessor used under load: 20 connections and 10 more, half a minute of patience,
    /// new connections every hour, each checked before its use.
    #[must_use]
    pub fn new(url: SecretString, trust: Trust) -> Self {
        Self {
            url,
            trust,
            pool_size: 30,
            pool_wait: Duration::from_secs(30),
            connection_lifetime: Duration::from_hours(1),
            verify_connections: true,
            by_index: false,
            slow_statement: statement::SLOW,
            reads_within: None,
        }
    }

    /// For a process that takes and ends tasks: it always finds rows by an index where there is one.
    #[must_use]
    pub fn by_index(self) -> Self {
        Self { by_index: true, ..self }
    }

    /// Only for reading, each statement within a time.
    #[must_use]
    pub fn for_reading(self, within: Duration) -> Self {
        Self { reads_within: Some(within), ..self }
    }

    /// Reads the settings.
    pub fn read(settings: &mut Settings, trust: &Trust) -> Self {
        let url = key(
            "database_url",
            "Where the database is: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `sslmode` and `sslrootcert` as docs/tls.md has them",
        );
        let url = settings.secret(url.such_as("postgres://USER:PASSWORD@HOST:5432/holdfast"));
        check_url(settings, "DATABASE_URL", &url, trust);
        let default = Self::new(url, trust.clone());
        let size = key(
            "database.pool_size",
            "The most connections to the database that the process opens, as they are needed",
        );
        let wait = key("database.pool_wait", "How long a caller waits for a free one");
        let lifetime = key(
            "database.connection_lifetime",
            "How old a connection may become before another one takes its place",
        );
        let verify = key(
            "database.verify_connections",
            "Whether a connection is asked for a sign of life before it is used again",
        );
        let slow = key(
            "database.slow_statement",
            "How long a statement may take before it is logged with its plan; 0s is for never",
        );
        let some = (Bound::Excluded(Duration::ZERO), Bound::Unbounded);
        Self {
            pool_size: settings.within(size, default.pool_size, 1..=MAX_POOL_SIZE),
            pool_wait: settings.within(wait, default.pool_wait, some),
            connection_lifetime: settings.within(lifetime, default.connection_lifetime, some),
            verify_connections: settings.get(verify, default.verify_connections),
            slow_statement: settings.duration(slow, default.slow_statement),
            ..default
        }
    }
}

impl<T: Into<SecretString>> From<T> for DatabaseConfig {
    fn from(url: T) -> Self {
        Self::new(url.into(), Trust::default())
    }
}

/// Rejects a database's URL that cannot be understood, by the name of its variable; one that is missing was told of before.
pub fn check_url(settings: &mut Settings, variable: &str, url: &SecretString, trust: &Trust) {
    if !url.expose_secret().is_empty()
        && let Err(error) = Location::read(url, trust)
    {
        settings.reject(format!("{variable}: {error}"));
    }
}

/// A server takes hundreds of connections, not thousands.
const MAX_POOL_SIZE: usize = 1000;

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
        let session = session(database);
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
            other => Error::Pool(other),
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
        let client = pool.get().await?;
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

fn session(database: &DatabaseConfig) -> String {
    let mut session = SESSION.to_owned();
    if database.by_index {
        session.push_str("; ");
        session.push_str(BY_INDEX);
    }
    if let Some(within) = database.reads_within {
        session.push_str("; ");
        session.push_str(READING);
        session.push_str("; set statement_timeout = ");
        session.push_str(&within.as_millis().to_string());
    }
    session
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
