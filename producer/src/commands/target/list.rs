//! `producer target list`

use serde_json::{Value, json};
use shared::db::target::StoredTarget;
use shared::db::{self, Database};
use shared::terminal;

use crate::commands::{Exit, Failure};

pub(super) async fn run(database: &Database, as_json: bool) -> Result<Exit, Failure> {
    let targets = db::target::all(&database.client().await?).await?;
    if as_json {
        shared::say!("{}", Value::Array(targets.iter().map(object).collect()));
        return Ok(Exit::Done);
    }
    let mut table =
        terminal::table(&["target", "state", "media", "site", "failure domain", "isolation", "repository"]);
    for StoredTarget { target, state, .. } in &targets {
        let place = &target.place;
        table.add_row([
            target.name.as_str(),
            state.as_str(),
            place.media.as_str(),
            &place.site,
            &place.failure_domain,
            target.isolation.as_str(),
            &target.repository,
        ]);
    }
    shared::say!("{table}");
    Ok(Exit::Done)
}

fn object(stored: &StoredTarget) -> Value {
    let target = &stored.target;
    json!({
        "name": target.name,
        "state": stored.state,
        "place": target.place,
        "isolation": target.isolation,
        "repository": target.repository,
        "repository_id": stored.repository_id,
        "version": stored.version,
    })
}
