//! `producer limits clear`

use shared::db::limit::{self, Origin};
use shared::db::{self, Database};
use shared::limit::Key;

use crate::commands::{Exit, Failure, operator};

pub(super) async fn run(database: &Database, key: &Key, definitions: bool) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    db::job::lock_definitions(&transaction).await?;
    let settings = limit::all(&transaction).await?;
    let says = |origin| settings.iter().any(|setting| setting.key == *key && setting.origin == origin);
    let cleared: Vec<Origin> = [Some(Origin::Live), definitions.then_some(Origin::Definitions)]
        .into_iter()
        .flatten()
        .filter(|origin| says(*origin))
        .collect();
    if cleared.is_empty() {
        let hint = if says(Origin::Definitions) {
            ": --definitions takes away what the definitions say"
        } else {
            ""
        };
        return Err(Failure::BadInput(format!("{key} was not set with `limits set`{hint}")));
    }
    for origin in cleared {
        let changed =
            limit::change(&transaction, origin, &[], std::slice::from_ref(key), &operator()).await?;
        changed.finish(&transaction).await?;
    }
    transaction.commit().await.map_err(db::Error::from)?;
    if says(Origin::Definitions) && !definitions {
        println!("{key} is limited as the definitions say");
    } else {
        println!("{key} is not limited any more");
    }
    Ok(Exit::Done)
}
