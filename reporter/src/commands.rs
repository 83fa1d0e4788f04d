//! What people and scripts ask: each command reads the database, prints, and ends.

pub mod alerts;
pub mod compliance;
pub mod db;
pub mod figures;
pub mod notifications;
pub mod report;
pub mod rollup;
pub mod schema;
pub mod status;

use chrono::{DateTime, SecondsFormat, Utc};
use shared::terminal::print;

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Text on one line without what could steer the terminal.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A moment in UTC, to the second.
pub(crate) fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
