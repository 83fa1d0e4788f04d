//! Numbered migrations, run by one process at a time.

use std::fmt;
use std::time::{Duration, Instant};

use deadpool_postgres::Client;

use super::Database;
use super::statement::statement;

mod run;

pub use run::{Error, GIVE_UP, Stopped, migrate, migrate_within};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// How often a schema that is too old is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often that is said.
const SAY: Duration = Duration::from_mins(1);

/// How the database's schema is to this program, by the numbers of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are of the same version.
    Current,
    /// The schema lacks what this program needs.
    Older {
        /// 0 where nothing was ever migrated.
        at: i32,
        /// What this program needs.
        needed: i32,
    },
    /// A newer program has migrated it. What was added is not minded: migrations add before, releases later, others take away.
    Newer {
        /// Its version.
        at: i32,
        /// The newest that this program knows.
        known: i32,
    },
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("the schema is up to date"),
            Self::Older { at, needed } => {
                write!(
                    f,
                    "the schema is older than this program, version {at} instead of {needed}: run `producer migrate`"
                )
            }
            Self::Newer { at, known } => {
                write!(f, "the schema is newer than this program, version {at} instead of {known}")
            }
        }
    }
}

/// Looks how the schema is to this program.
///
/// # Errors
/// The database's.
pub async fn standing(database: &Database) -> Result<Standing, super::Error> {
    let client = database.client().await?;
    look(&client).await
}

/// Whether this program can work with the database: it answers, and its schema has what is needed.
///
/// # Errors
/// The database's; [`super::Error::Schema`] if the schema is older than this program.
pub async fn ready(database: &Database) -> Result<Standing, super::Error> {
    match standing(database).await? {
        older @ Standing::Older { .. } => Err(super::Error::Schema(older)),
        standing => Ok(standing),
    }
}

/// Waits until the schema has what this program needs, and says what it waits for: an upgrade may begin with the programs.
pub async fn reached(database: &Database) {
    let mut said: Option<(String, Instant)> = None;
    loop {
        let why = match ready(database).await {
            Ok(newer @ Standing::Newer { .. }) => {
                tracing::info!("{newer}");
                return;
            }
            Ok(_) => return,
            Err(error) => error.to_string(),
        };
        if said.as_ref().is_none_or(|(before, at)| *before != why || at.elapsed() > SAY) {
            tracing::warn!(why, "waiting for the database before anything begins");
            said = Some((why, Instant::now()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(client: &Client) -> Result<Standing, super::Error> {
    let known =
        embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max();
    let known = known.unwrap_or_default();
    let there = statement!("migration.there", "select to_regclass('refinery_schema_history') is not null");
    let at = if there.query_one(client, &[]).await?.try_get(0)? {
        let newest =
            statement!("migration.newest", "select coalesce(max(version), 0) from refinery_schema_history");
        newest.query_one(client, &[]).await?.try_get(0)?
    } else {
        0
    };
    Ok(match at {
        at if at < known => Standing::Older { at, needed: known },
        at if at > known => Standing::Newer { at, known },
        _ => Standing::Current,
    })
}
