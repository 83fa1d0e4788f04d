//! `producer limits clear`

use shared::db::limit::{self, Origin};
use shared::db::{self, Database};
use shared::limit::Key;

use crate::commands::{Exit, Failure, operator};

pub(super) async fn run(database: &Database, key: &Key) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    db::job::lock_definitions(&transaction).await?;
    let settings = limit::all(&transaction).await?;
    let of_key = |origin| settings.iter().find(|setting| setting.key == *key && setting.origin == origin);
    if of_key(Origin::Live).is_none() {
        return Err(Failure::BadInput(format!(
            "{key} was not set with `limits set`: there is nothing to clear"
        )));
    }
    let changed =
        limit::change(&transaction, Origin::Live, &[], std::slice::from_ref(key), &operator()).await?;
    changed.finish(&transaction).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    match of_key(Origin::Definitions) {
        Some(_) => println!("{key} is limited as the definitions say"),
        None => println!("{key} is not limited any more"),
    }
    Ok(Exit::Done)
}
