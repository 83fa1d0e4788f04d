//! Where the database is, how a process uses its connections, and what each session is told first.

use std::ops::Bound;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::location::Location;
use super::statement;
use crate::settings::{Settings, key};
use crate::tls::Trust;

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

/// A server takes hundreds of connections, not thousands.
const MAX_POOL_SIZE: usize = 1000;

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

/// What each connection of a process is told before anything else.
pub(super) fn session(database: &DatabaseConfig) -> String {
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
