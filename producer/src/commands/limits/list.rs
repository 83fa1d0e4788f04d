//! `producer limits list`

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::db::cap::Cap;
use shared::db::limit::{self, Origin, Setting};
use shared::db::{self, Database, line};
use shared::limit::{Key, Limit};
use shared::{clock, terminal};

use crate::commands::{Exit, Failure, shown};

/// A limit as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    key: &'a Key,
    #[serde(flatten)]
    limit: Limit,
    origin: Origin,
    /// What the definitions say where something else counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    definitions: Option<Limit>,
    /// How many tasks run, where their number is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<i32>,
    /// How many tasks wait for it.
    waiting: i64,
    set_by: &'a str,
    set_at: DateTime<Utc>,
}

pub(super) async fn run(database: &Database, as_json: bool) -> Result<Exit, Failure> {
    let client = database.client().await?;
    let settings = limit::all(&client).await?;
    let caps = db::cap::all(&client).await?;
    let mut waiting = HashMap::new();
    for line in line::waiting(&client).await? {
        *waiting.entry(line.key).or_default() += line.tasks;
    }
    let shown = shown(&settings, &caps, &waiting);
    if as_json {
        shown::print_json(&shown)?;
    } else if shown.is_empty() {
        shown::print("nothing is limited")?;
    } else {
        shown::print(&table(&shown))?;
    }
    Ok(Exit::Done)
}

fn shown<'a>(settings: &'a [Setting], caps: &[Cap], waiting: &HashMap<Key, i64>) -> Vec<Shown<'a>> {
    let by_definition = |key: &Key| {
        let mut settings = settings.iter().filter(|setting| setting.origin == Origin::Definitions);
        settings.find(|setting| setting.key == *key).map(|setting| setting.limit)
    };
    let shown = |setting: &'a Setting| Shown {
        key: &setting.key,
        limit: setting.limit,
        origin: setting.origin,
        definitions: if setting.origin == Origin::Live { by_definition(&setting.key) } else { None },
        running: caps.iter().find(|cap| cap.key == setting.key).map(|cap| cap.running),
        waiting: waiting.get(&setting.key).copied().unwrap_or(0),
        set_by: &setting.set_by,
        set_at: setting.set_at,
    };
    limit::effective(settings).into_values().map(shown).collect()
}

fn table(limits: &[Shown<'_>]) -> String {
    let now = clock::now();
    let mut table = terminal::table(&["key", "limit", "running", "waiting", "says", "set"]);
    for limit in limits {
        let says = match limit.definitions {
            Some(definitions) => format!("{}; definitions: {}", limit.origin, definitions),
            None => limit.origin.to_string(),
        };
        table.add_row([
            shown::line(&limit.key.to_string(), shown::CELL),
            limit.limit.to_string(),
            limit.running.map(|running| running.to_string()).unwrap_or_default(),
            limit.waiting.to_string(),
            says,
            format!("{} ago by {}", shown::age(limit.set_at, now), shown::line(limit.set_by, shown::CELL)),
        ]);
    }
    table.to_string()
}
