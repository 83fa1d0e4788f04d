//! What can go wrong with the database, and what follows from it.

use std::time::Duration;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use super::CONNECT_TIMEOUT;
use super::migration::Standing;
use crate::tls;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be understood.
    #[error("DATABASE_URL: {0}")]
    Url(String),
    /// No connection could be had.
    #[error("no connection to the database at {place}: {}", describe_pool(.error))]
    Pool {
        /// Which database, and as whom.
        place: String,
        /// Why not.
        error: PoolError,
    },
    /// All connections of the process stayed busy.
    #[error(
        "no database connection: all {size} stayed busy for {} (raise database.pool_size, or look for what holds them)",
        humantime::format_duration(*.wait)
    )]
    Exhausted {
        /// How many there are.
        size: usize,
        /// How long one was waited for.
        wait: Duration,
    },
    /// A transaction took too long, because the server hangs or holds a lock.
    #[error("database: no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// PostgreSQL refused a statement, or the connection broke.
    #[error("database: {}", describe(.0))]
    Postgres(tokio_postgres::Error),
    /// Rows that this transaction has locked are not where they were.
    #[error("{0} of the rows that were locked have moved")]
    Moved(u64),
    /// The schema lacks what this program needs.
    #[error("{0}")]
    Schema(Standing),
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

impl Error {
    /// Whether the rows of the statement are at fault, so that it fails whenever it is tried: bad data, a broken
    /// constraint, a limit. Everything else, also a missing table or a read-only server, can be mended without them.
    #[must_use]
    pub fn blames_the_rows(&self) -> bool {
        match self {
            Self::Pool { .. }
            | Self::Url(_)
            | Self::Exhausted { .. }
            | Self::TimedOut(_)
            | Self::Moved(_)
            | Self::Schema(_) => false,
            Self::Value { .. } => true,
            Self::Postgres(error) => error.code().is_some_and(|code| {
                let data_constraint_limit = ["22", "23", "54"];
                // Rows in a binary form that a column does not have: the table has changed, they are as good as before.
                let another_form = [SqlState::INVALID_BINARY_REPRESENTATION, SqlState::BAD_COPY_FILE_FORMAT];
                data_constraint_limit.iter().any(|class| code.code().starts_with(class))
                    && !another_form.contains(code)
            }),
        }
    }

    /// Whether a lock was not to be had in time, so that trying again later is right.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }

    /// Whether the statement was ended because it took too long.
    #[must_use]
    pub fn took_too_long(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Postgres(error) => error.code() == Some(&SqlState::QUERY_CANCELED),
            _ => false,
        }
    }

    /// Whether two transactions were in each other's way, so that trying again at once is right.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        let conflicts = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
        matches!(self, Self::Postgres(error) if error.code().is_some_and(|code| conflicts.contains(code)))
    }
}

/// What the client says of a server that was asked for TLS and has none.
const WITHOUT_TLS: &str = "server does not support TLS";

/// Whether a statement is for another schema than the one that is there.
fn is_of_another_schema(code: &SqlState) -> bool {
    *code == SqlState::UNDEFINED_COLUMN || *code == SqlState::UNDEFINED_FUNCTION
}

pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) if *db.code() == SqlState::UNDEFINED_TABLE => {
            format!("{}: run `producer migrate` first", db.message())
        }
        Some(db) if is_of_another_schema(db.code()) => {
            format!("{} ({}): run `producer migrate` first", db.message(), db.code().code())
        }
        // Its rules for hosts say so, in the middle of a sentence.
        Some(db) if db.message().contains("no encryption") => {
            format!("{}: the server wants TLS, which sslmode=verify-full in the URL gives it", db.message())
        }
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => {
            if let Some(why) = tls::explain(error) {
                return why;
            }
            let source = std::error::Error::source(error);
            let source = source.map(ToString::to_string);
            match source.as_deref() {
                Some(WITHOUT_TLS) => {
                    "the server does not offer TLS: switch it on there, or give up on it with sslmode=disable in the URL".to_owned()
                }
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            }
        }
    }
}

fn describe_pool(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => describe(error),
        PoolError::Timeout(_) => format!("the server did not answer within {} s", CONNECT_TIMEOUT.as_secs()),
        other => other.to_string(),
    }
}
