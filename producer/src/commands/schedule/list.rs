//! `producer schedule list`

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::db::Database;
use shared::db::schedule::{self, Stored};
use shared::schedule::{Schedule, When};
use shared::task::TaskKind;
use shared::terminal;

use crate::commands::{Exit, Failure, shown};

#[derive(Debug, Serialize)]
struct Listed {
    kind: TaskKind,
    name: String,
    schedule: Schedule,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_due: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_by: Option<String>,
}

impl From<Stored> for Listed {
    fn from(stored: Stored) -> Self {
        let Stored { kind, name, spec, next_due, paused_by, .. } = stored;
        Self { kind, name, schedule: spec, next_due, paused_by }
    }
}

pub(super) async fn run(database: &Database, as_json: bool) -> Result<Exit, Failure> {
    let stored = shown::readable("schedule", schedule::all(&database.client().await?).await?);
    let listed: Vec<Listed> = stored.into_iter().map(Listed::from).collect();
    if as_json {
        shown::print_json(&listed)?;
        return Ok(Exit::Done);
    }
    if listed.is_empty() {
        shown::print("nothing is scheduled: give a job a `schedule` and apply it")?;
        return Ok(Exit::Done);
    }
    let mut table = terminal::table(&["what", "of", "when", "zone", "next", "paused by"]);
    for Listed { kind, name, schedule, next_due, paused_by } in &listed {
        let when = match &schedule.when {
            When::Cron(cron) => cron.to_string(),
            When::Every(every) => format!("every {}", humantime::format_duration(*every)),
        };
        table.add_row([
            kind.to_string(),
            name.clone(),
            when,
            schedule.timezone.to_string(),
            next_due
                .map(|next| next.with_timezone(&schedule.timezone).format("%Y-%m-%d %H:%M:%S").to_string())
                .unwrap_or_default(),
            shown::line(paused_by.as_deref().unwrap_or_default(), shown::CELL),
        ]);
    }
    shown::print(&table.to_string())?;
    Ok(Exit::Done)
}
