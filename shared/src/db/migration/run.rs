//! Migrating: by one process at a time, and in nobody's way for longer than a moment.

use std::error::Error as _;
use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use tokio_postgres::error::SqlState;

use super::super::statement::statement;
use super::super::{Database, rights};
use super::{LOOK, SAY, Standing, embedded, look};

/// Any constant will do, as long as it is ours alone: "hold" in ASCII.
const ADVISORY_LOCK: i64 = 0x686f_6c64;
/// How long a table is waited for that others use. Whoever comes behind waits as long, because the server lets nobody overtake.
const LOCK_WITHIN: Duration = Duration::from_secs(3);
/// How long those who came behind have the table to themselves, until it is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long it is tried to have the tables that others use: a dump of them may take longer, and is then in the way of a migration.
pub const GIVE_UP: Duration = Duration::from_mins(10);

/// Rewriting a table takes as long as it takes, but not longer than its client lives.
const SESSION: &str =
    "set statement_timeout = 0; set idle_session_timeout = 0; set client_connection_check_interval = '1s'";

/// What can go wrong with a migration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Database(#[from] super::super::Error),
    /// A migration failed, or one that was applied is not the one of its number that this program has.
    #[error("migration: {0}")]
    Migration(#[from] Box<refinery::Error>),
    /// Others used the tables all the time.
    #[error(
        "tables were in use for {}, by {holders}: wait until that has ended or end it (`select pg_terminate_backend(PID)`), and migrate again",
        humantime::format_duration(*.tried)
    )]
    InUse {
        /// How long it was tried.
        tried: Duration,
        /// The sessions that had them.
        holders: String,
    },
}

impl Error {
    /// Whether others were in the way, so that trying again is right.
    fn is_in_the_way(&self) -> bool {
        let code = match self {
            Self::Database(error) => return error.is_busy() || error.is_conflict(),
            Self::InUse { .. } => return false,
            Self::Migration(error) => {
                let error = error.source().and_then(|error| error.downcast_ref::<tokio_postgres::Error>());
                error.and_then(tokio_postgres::Error::code)
            }
        };
        let codes = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
        code.is_some_and(|code| codes.contains(code))
    }
}

/// A migration that did not come to its end. Each is a transaction of its own: what was applied before stays so, and is left alone by the next
/// try.
#[derive(Debug, thiserror::Error)]
#[error("{}", told(.applied))]
pub struct Stopped {
    /// What was applied.
    pub applied: Vec<String>,
    /// Why it went no further.
    pub source: Error,
}

fn told(applied: &[String]) -> String {
    match applied {
        [] => "nothing was migrated".to_owned(),
        applied => format!("no further than this was migrated, which stays: {}", applied.join(", ")),
    }
}

/// Brings the schema to this program's version, gives roles their rights in it ([`rights`]), and returns the names of the migrations that were
/// applied. A newer schema is left as it is, with the rights that a newer program gave.
///
/// Several processes may call it at once: the migrations run under an advisory lock, once. Tables that others use are waited for again and
/// again, for [`GIVE_UP`].
///
/// # Errors
/// A migration fails, or one that was applied is not the one of its number that this program has; or others did not let go of the tables.
pub async fn migrate(database: &Database) -> Result<Vec<String>, Stopped> {
    migrate_within(database, GIVE_UP).await
}

/// As [`migrate`], with less patience, or more.
///
/// # Errors
/// As of [`migrate`].
pub async fn migrate_within(database: &Database, patience: Duration) -> Result<Vec<String>, Stopped> {
    let mut applied = Vec::new();
    match migrating(database, patience, &mut applied).await {
        Ok(()) => Ok(applied),
        Err(source) => Err(Stopped { applied, source }),
    }
}

async fn migrating(database: &Database, patience: Duration, applied: &mut Vec<String>) -> Result<(), Error> {
    // Nobody else is to have this session's settings.
    let session = format!("{SESSION}; set lock_timeout = {}", LOCK_WITHIN.as_millis());
    let mut client = database.beside(&session).await?;
    alone(&client).await?;
    let began = Instant::now();
    let ended = loop {
        let error = match apply(&mut client, applied).await {
            Err(error) if error.is_in_the_way() => error,
            ended => break ended,
        };
        let holders = holders(&client).await?;
        if began.elapsed() >= patience {
            break Err(Error::InUse { tried: began.elapsed(), holders });
        }
        tracing::warn!(%error, holders, "tables are in use: they are waited for again in a moment");
        tokio::time::sleep(AGAIN).await;
    };
    let unlocked = statement!("migration.unlock", "select pg_advisory_unlock($1)")
        .query_one(&client, &[&ADVISORY_LOCK])
        .await;
    ended?;
    unlocked.map_err(super::super::Error::from)?;
    Ok(())
}

/// Waits until nobody else migrates, without a limit: others are at work, and nobody stands behind this.
async fn alone(client: &Client) -> Result<(), super::super::Error> {
    let lock = statement!("migration.lock", "select pg_try_advisory_lock($1)");
    let mut said: Option<Instant> = None;
    while !lock.query_one(client, &[&ADVISORY_LOCK]).await?.try_get::<_, bool>(0)? {
        if said.is_none_or(|at| at.elapsed() > SAY) {
            tracing::warn!("another process migrates this database: waiting until it has ended");
            said = Some(Instant::now());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn apply(client: &mut Client, applied: &mut Vec<String>) -> Result<(), Error> {
    if let Standing::Newer { .. } = look(client).await? {
        return Ok(());
    }
    let connection: &mut tokio_postgres::Client = client;
    let ran = embedded::migrations::runner().run_async(connection).await;
    let report = match &ran {
        Ok(report) => Some(report),
        Err(error) => error.report(),
    };
    applied
        .extend(report.into_iter().flat_map(refinery::Report::applied_migrations).map(ToString::to_string));
    ran.map_err(Box::new)?;
    Ok(rights::grant(client).await?)
}

/// Who has held tables of this schema for so long that it was in the way, for people.
async fn holders(client: &Client) -> Result<String, super::super::Error> {
    let statement = statement!(
        "migration.holders",
        "select coalesce(string_agg(said, '; '), 'sessions that have ended meanwhile') from (
             select format('PID %s (%s, role %s, since %s): %s', a.pid, coalesce(nullif(a.application_name, ''), 'without a name'), a.usename,
                 to_char(a.xact_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"'),
                 string_agg(distinct c.relname::text, ', ')) as said
             from pg_locks l join pg_class c on c.oid = l.relation join pg_stat_activity a on a.pid = l.pid
             where l.granted and l.database = (select oid from pg_database where datname = current_database())
                 and c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
                 and a.pid <> pg_backend_pid() and a.xact_start < clock_timestamp() - make_interval(secs => $1)
             group by a.pid, a.application_name, a.usename, a.xact_start order by a.xact_start limit 5) t"
    );
    Ok(statement.query_one(client, &[&LOCK_WITHIN.as_secs_f64()]).await?.try_get(0)?)
}
