//! Numbered migrations, run by one process at a time.

use deadpool_postgres::Client;

use super::Database;
use super::rights;
use super::statement::{command, statement};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Any constant will do, as long as it is ours alone: "hold" in ASCII.
const ADVISORY_LOCK: i64 = 0x686f_6c64;

/// What can go wrong with a migration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Database(#[from] super::Error),
    /// A migration failed, or the schema is newer than this program.
    #[error("migration: {0}")]
    Migration(#[from] Box<refinery::Error>),
}

/// Brings the schema to this program's version, gives roles their rights in it ([`rights`]), and returns the names of the migrations that were applied.
///
/// Several processes may call it at once: the migrations run under an advisory lock, once.
///
/// # Errors
/// A newer schema than this program knows is refused.
pub async fn migrate(database: &Database) -> Result<Vec<String>, Error> {
    let mut client = database.client().await?;
    // Whoever migrates waits for whoever else does, and for what uses the tables.
    command!("migration.patience").run(&client, "set lock_timeout = 0").await.map_err(super::Error::from)?;
    statement!("migration.lock", "select pg_advisory_lock($1)")
        .query_one(&client, &[&ADVISORY_LOCK])
        .await
        .map_err(super::Error::from)?;
    let mut applied = apply(&mut client).await;
    if applied.is_ok() {
        applied = rights::grant(&client).await.map_err(Error::from).and(applied);
    }
    let unlocked = statement!("migration.unlock", "select pg_advisory_unlock($1)")
        .query_one(&client, &[&ADVISORY_LOCK])
        .await;
    // The session is another one now: nothing else is to use it.
    _ = deadpool_postgres::Object::take(client);
    let applied = applied?;
    unlocked.map_err(super::Error::from)?;
    Ok(applied)
}

async fn apply(client: &mut Client) -> Result<Vec<String>, Error> {
    let connection: &mut tokio_postgres::Client = client;
    let report = embedded::migrations::runner().run_async(connection).await.map_err(Box::new)?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}
