//! `producer limits clear`

use shared::db::Database;
use shared::limit::Key;

use crate::commands::{Exit, Failure, actor};
use crate::operations::limits;

pub(super) async fn run(database: &Database, key: &Key, definitions: bool) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let after = limits::clear(&transaction, key, definitions, &actor()).await?;
    transaction.commit().await?;
    match after {
        Some(_) => shared::say!("{key} is limited as the definitions say"),
        None => shared::say!("{key} is not limited any more"),
    }
    Ok(Exit::Done)
}
