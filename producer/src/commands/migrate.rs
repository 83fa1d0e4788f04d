//! `producer migrate`

use anyhow::Context as _;
use shared::db::{Database, migration};

use super::{Exit, Failure};
use crate::upkeep;

pub(super) async fn run(database: &Database) -> Result<Exit, Failure> {
    let mut applied = migration::migrate(database).await.context("nothing was migrated")?;
    let created = upkeep::create_partitions(database).await?;
    applied.extend(created.into_iter().map(|created| created.name));
    if applied.is_empty() {
        println!("up to date");
    }
    for name in applied {
        println!("applied {name}");
    }
    Ok(Exit::Done)
}
