//! The audit report: who changed what by commands and over HTTP, and what was restored.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use serde::Serialize;
use serde_json::Value;
use shared::db;
use shared::db::audit::{self, Recorded, Tally};
use shared::db::execution::{self, Finished};
use shared::task::Outcome;

use super::document::{Attention, Cell, Column, Document, Item, Row, Section, Table, Tile, Tone};
use super::facts::Head;
use super::standing::Subjects;
use super::words;

/// No more changes than these are in a report, the newest; the rest is counted.
const CHANGES: i64 = 10_000;
/// No more of them are listed for people.
const CHANGES_LISTED: usize = 1_000;
/// No more restores than these are listed; the rest is counted.
const RESTORES: i64 = 1_000;
/// So many things that need attention are named on the first page.
const ATTENTION: usize = 8;

/// What the report says.
#[derive(Debug, Serialize)]
pub(super) struct Audit {
    #[serde(flatten)]
    pub(super) head: Head,
    /// All changes of the period.
    changes_total: i64,
    /// Who did what how often.
    tallies: Vec<Tally>,
    /// All restores of the period, and of these the ones that did not succeed.
    restores_total: i64,
    restores_failed: i64,
    /// Those that did not succeed first, and then the newest.
    restores: Vec<Finished>,
    /// The newest first.
    pub(super) changes: Vec<Recorded>,
}

/// Reads the facts, all of one snapshot. A job or an owner chooses the restores alone: changes are by no job.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    subjects: &Subjects,
    head: Head,
) -> Result<Audit, db::Error> {
    let (from, to) = (head.period.start(), head.period.end());
    let tallies = audit::tally(transaction, from, to).await?;
    let ids = subjects.ids();
    let restores = execution::restores(transaction, from, to, ids.as_deref(), RESTORES).await?;
    let (restores_total, restores_failed) =
        execution::count_restores(transaction, from, to, ids.as_deref()).await?;
    // How it was restored stays with the execution.
    let restores = restores.into_iter().map(|attempt| Finished { detail: None, ..attempt });
    Ok(Audit {
        changes_total: tallies.iter().map(|tally| tally.count).sum(),
        restores_total,
        restores_failed,
        restores: restores.collect(),
        changes: audit::of_period(transaction, from, to, CHANGES).await?,
        tallies,
        head,
    })
}

/// What kinds of things belong together.
const GROUPS: [(&str, &[&str]); 4] = [
    ("definitions", &["job", "target", "report", "channel", "route", "maintenance", "alert setting"]),
    ("alerts", &["alert", "silence"]),
    ("tokens", &["token"]),
    ("tasks", &["task", "tasks", "dead task"]),
];

impl Audit {
    /// Makes the parts of pages and of paper.
    pub(super) fn document(&self) -> Document {
        let actors: BTreeSet<&str> = self.tallies.iter().map(|tally| tally.actor.as_str()).collect();
        let restores = usize::try_from(self.restores_total).unwrap_or(0);
        let changes = usize::try_from(self.changes_total).unwrap_or(0);
        // Without a period named it is the month before, which a reader might take for now.
        let period = self.head.days();
        let headline = match (changes, restores) {
            (0, 0) => {
                format!("{period}: nothing was changed by commands or over HTTP, and nothing was restored.")
            }
            _ => format!(
                "{period}: {} by {} by commands and over HTTP; {}.",
                words::count(changes, "change"),
                words::count(actors.len(), "actor"),
                words::count(restores, "restore"),
            ),
        };
        let tile = |label, value: String, note: &str| Tile {
            label,
            value,
            note: note.to_owned(),
            tone: Tone::Plain,
        };
        let group = |name: &str| {
            let of =
                GROUPS.iter().find(|(group, _)| *group == name).map_or(&[][..], |(_, subjects)| subjects);
            let tallies = self.tallies.iter().filter(|tally| of.contains(&tally.subject.as_str()));
            tallies.map(|tally| tally.count).sum::<i64>().to_string()
        };
        let over_http: i64 =
            self.tallies.iter().filter(|tally| tally.over_http).map(|tally| tally.count).sum();
        Document {
            title: self.head.title.clone(),
            subtitle: self.head.subtitle(),
            made_at: self.head.made_at,
            headline,
            tone: Tone::Plain,
            tiles: vec![
                tile("Changes", self.changes_total.to_string(), &format!("{over_http} over HTTP")),
                tile("Actors", actors.len().to_string(), "people and other systems"),
                tile("Of definitions", group("definitions"), "jobs, targets, reports, channels, routes"),
                tile("Of alerts", group("alerts"), "acknowledged, silenced"),
                tile("Of tokens", group("tokens"), "made, revoked"),
                tile("Restores", restores.to_string(), &format!("{} without success", self.restores_failed)),
            ],
            attention: self.attention(),
            charts: Vec::new(),
            sections: vec![self.by_actor(), self.restored(), self.listed()],
        }
    }

    /// What an auditor asks about first: tokens, what was taken away, and restores that failed.
    fn attention(&self) -> Attention {
        let taken = |change: &&Recorded| {
            change.subject == "token"
                || (change.after.as_ref().is_none_or(Value::is_null)
                    && matches!(change.subject.as_str(), "job" | "target"))
        };
        let changes = self.changes.iter().filter(taken).map(|change| Item {
            word: "change",
            tone: Tone::Warn,
            subject: format!("{} {}", change.subject, words::short(&change.name)),
            text: format!("{} by {} on {}", change.action, change.actor, words::moment(change.at)),
        });
        let failed = self.restores.iter().filter(|restore| restore.outcome != Outcome::Success);
        let failed = failed.map(|restore| Item {
            word: "restore",
            tone: Tone::Bad,
            subject: restore.job.clone().unwrap_or_default(),
            text: format!(
                "{} on {}: {}",
                restore.outcome,
                words::moment(restore.finished_at),
                words::short(restore.error.as_deref().unwrap_or_default())
            ),
        });
        let mut attention = Attention::new(failed.chain(changes).collect(), ATTENTION);
        let listed = self.restores.iter().filter(|restore| restore.outcome != Outcome::Success).count();
        attention.more += usize::try_from(self.restores_failed).unwrap_or(0).saturating_sub(listed);
        attention
    }

    fn by_actor(&self) -> Section {
        let rows: Vec<Row> = self
            .tallies
            .iter()
            .map(|tally| Row {
                cells: vec![
                    tally.actor.clone().into(),
                    way(tally.over_http).into(),
                    tally.action.clone().into(),
                    tally.subject.clone().into(),
                    tally.count.to_string().into(),
                ],
                notes: Vec::new(),
            })
            .collect();
        let columns = vec![
            Column::text("Who", 3.0),
            Column::text("By", 1.5),
            Column::text("Did", 1.5),
            Column::text("To", 1.5),
            Column::number("Times", 1.0),
        ];
        let note = if rows.is_empty() { "Nobody changed anything." } else { "What was done most first." };
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more: 0 });
        Section { title: "Who did what".to_owned(), note: note.to_owned(), table }
    }

    fn restored(&self) -> Section {
        let rows: Vec<Row> = self
            .restores
            .iter()
            .map(|attempt| Row {
                cells: vec![
                    words::moment(attempt.finished_at).into(),
                    attempt.job.clone().unwrap_or_default().into(),
                    attempt.target.clone().unwrap_or_default().into(),
                    Cell::answer(attempt.outcome.to_string(), words::of_outcome(attempt.outcome)),
                    words::seconds(Some(attempt.seconds)).into(),
                    words::bytes(u64::try_from(attempt.bytes).unwrap_or(0)).into(),
                    attempt.requested_by.clone().into(),
                    words::short(attempt.error.as_deref().unwrap_or_default()).into(),
                ],
                notes: Vec::new(),
            })
            .collect();
        let columns = vec![
            Column::text("Finished", 1.9),
            Column::text("Job", 2.0),
            Column::text("From", 1.5),
            Column::text("Outcome", 1.1),
            Column::number("Took", 1.1),
            Column::number("Size", 1.1),
            Column::text("Asked by", 1.5),
            Column::text("Why", 2.5),
        ];
        let more = usize::try_from(self.restores_total).unwrap_or(0).saturating_sub(rows.len());
        let note = if rows.is_empty() {
            "Nothing was restored."
        } else {
            "Those without success first, and then the newest. Restores into directories; restore tests are evidence, and not listed here."
        };
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more });
        Section { title: "Restores".to_owned(), note: note.to_owned(), table }
    }

    fn listed(&self) -> Section {
        let rows: Vec<Row> = self
            .changes
            .iter()
            .take(CHANGES_LISTED)
            .map(|change| Row {
                cells: vec![
                    words::moment(change.at).into(),
                    change.actor.clone().into(),
                    way(change.over_http).into(),
                    change.action.clone().into(),
                    format!("{} {}", change.subject, words::short(&change.name)).into(),
                    difference(change).into(),
                ],
                notes: Vec::new(),
            })
            .collect();
        let columns = vec![
            Column::text("When", 1.5),
            Column::text("Who", 1.6),
            Column::text("By", 0.9),
            Column::text("Did", 1.0),
            Column::text("To", 2.6),
            Column::text("What changed", 3.4),
        ];
        let more = usize::try_from(self.changes_total).unwrap_or(0).saturating_sub(rows.len());
        let note = if rows.is_empty() { "There is none." } else { "The newest first." };
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more });
        Section { title: "Changes".to_owned(), note: note.to_owned(), table }
    }
}

/// By which way a change came.
pub(super) const fn way(over_http: bool) -> &'static str {
    if over_http { "HTTP" } else { "command" }
}

/// The fields that are others than before, with their new values where these are short.
pub(super) fn difference(change: &Recorded) -> String {
    let fields = |value: &Option<Value>| match value {
        Some(Value::Object(fields)) => fields.clone(),
        _ => serde_json::Map::new(),
    };
    let (before, after) = (fields(&change.before), fields(&change.after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<String> = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| match after.get(name) {
            Some(Value::Null) | None => format!("{name} −"),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => format!("{name} {value}"),
            Some(Value::String(text)) if text.chars().count() <= 40 => format!("{name} {text}"),
            Some(_) => name.clone(),
        })
        .collect();
    words::short(&changed.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_names_the_fields_and_short_values() {
        let change = Recorded {
            at: "2026-11-26T02:00:00Z".parse().unwrap(),
            actor: "ops".to_owned(),
            over_http: true,
            action: "change".to_owned(),
            subject: "job".to_owned(),
            name: "docs".to_owned(),
            before: Some(json!({ "owner": "ops", "active": true, "tags": ["a"], "rto": "1h" })),
            after: Some(json!({ "owner": "dba", "active": true, "tags": ["b"] })),
        };
        assert_eq!(difference(&change), "owner dba, rto −, tags");
        assert_eq!(difference(&Recorded { before: None, after: None, ..change }), "");
    }
}
