//! `producer migrate`

use shared::db::Database;
use shared::db::migration::{self, Standing};

use super::{Exit, Failure};
use crate::upkeep;

pub(super) async fn run(database: &Database) -> Result<Exit, Failure> {
    let mut applied = migration::migrate(database).await.map_err(anyhow::Error::new)?;
    let created = upkeep::create_partitions(database).await?;
    applied.extend(created.into_iter().map(|created| created.name));
    match migration::standing(database).await? {
        newer @ Standing::Newer { .. } => shared::say!("{newer}: nothing was migrated"),
        Standing::Current | Standing::Older { .. } if applied.is_empty() => shared::say!("up to date"),
        Standing::Current | Standing::Older { .. } => {}
    }
    for name in applied {
        shared::say!("applied {name}");
    }
    Ok(Exit::Done)
}
