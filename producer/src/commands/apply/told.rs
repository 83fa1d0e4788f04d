//! A plan as it is told: to programs as JSON, to people as a difference.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde::Serialize;
use serde_json::Value;
use shared::db::leftover::Leftover;

use crate::apply::{Change, Difference, Plan, Warning};
use crate::commands::shown;

/// The longest value that is told, in characters.
const LONG: usize = 500;

/// A plan as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Told<'a> {
    targets: Vec<Entry<'a>>,
    jobs: Vec<Entry<'a>>,
    limits: Vec<Entry<'a>>,
    reports: Vec<Entry<'a>>,
    upkeep: Vec<Entry<'a>>,
    alerts: Vec<Entry<'a>>,
    maintenance: Vec<Entry<'a>>,
    channels: Vec<Entry<'a>>,
    routes: Vec<Entry<'a>>,
    warnings: &'a [Warning],
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    name: String,
    change: &'static str,
    #[serde(skip)]
    sign: Option<char>,
    /// The fields that change.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a [Difference]>,
    /// What becomes of the tasks of what is taken away.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    left: Option<Leftover>,
}

impl<'a> Told<'a> {
    pub(super) fn of(plan: &'a Plan<'_>) -> Self {
        Self {
            targets: entries(&plan.targets),
            jobs: entries(&plan.jobs),
            limits: entries(&plan.limits),
            reports: entries(&plan.reports),
            upkeep: entries(&plan.upkeep),
            alerts: entries(&plan.alerts),
            maintenance: entries(&plan.maintenance),
            channels: entries(&plan.channels),
            routes: entries(&plan.routes),
            warnings: &plan.warnings,
        }
    }

    /// For people: what changes, and a line that counts all.
    pub(super) fn text(&self) -> String {
        let colour = std::io::stdout().is_terminal();
        let mut text = String::new();
        let mut counts = Counts::default();
        for (what, entries) in self.lists() {
            for entry in entries {
                counts.count(entry);
                entry.tell(what, colour, &mut text);
            }
        }
        let Counts { added, changed, removed, unchanged } = counts;
        _ = write!(text, "{added} added, {changed} changed, {removed} removed, {unchanged} unchanged");
        text
    }

    fn lists(&self) -> [(&'static str, &[Entry<'a>]); 9] {
        [
            ("target", &self.targets),
            ("job", &self.jobs),
            ("limit", &self.limits),
            ("report", &self.reports),
            ("upkeep", &self.upkeep),
            ("alert rule", &self.alerts),
            ("maintenance", &self.maintenance),
            ("channel", &self.channels),
            ("route", &self.routes),
        ]
    }
}

#[derive(Default)]
struct Counts {
    added: usize,
    changed: usize,
    removed: usize,
    unchanged: usize,
}

impl Counts {
    fn count(&mut self, entry: &Entry<'_>) {
        *match entry.sign {
            Some('+') => &mut self.added,
            Some('~') => &mut self.changed,
            Some(_) => &mut self.removed,
            None => &mut self.unchanged,
        } += 1;
    }
}

fn entries<N: ToString>(changes: &[(N, Change)]) -> Vec<Entry<'_>> {
    changes.iter().map(|(name, change)| Entry::new(name.to_string(), change)).collect()
}

impl<'a> Entry<'a> {
    fn new(name: String, change: &'a Change) -> Self {
        let (sign, fields, left) = match change {
            Change::Added => (Some('+'), None, None),
            Change::Changed(fields) => (Some('~'), Some(fields.as_slice()), None),
            Change::Removed(left) => (Some('-'), None, Some(*left)),
            Change::Unchanged => (None, None, None),
        };
        Self { name, change: change.as_str(), sign, fields, left }
    }

    fn tell(&self, what: &str, colour: bool, text: &mut String) {
        let Some(sign) = self.sign else { return };
        let name = shown::line(&self.name, LONG);
        let (on, off) = if colour { (ansi(sign), "\u{1b}[0m") } else { ("", "") };
        _ = writeln!(text, "{on}{sign} {what} {name}{off}");
        for Difference { field, before, after } in self.fields.unwrap_or_default() {
            _ = writeln!(text, "    {field}: {}", difference(before, after));
        }
        let Leftover { waiting, running } = self.left.unwrap_or_default();
        if waiting > 0 {
            _ = writeln!(text, "    waiting tasks that are cancelled: {waiting}");
        }
        if running > 0 {
            _ = writeln!(text, "    running tasks that go on to their end: {running}");
        }
    }
}

fn ansi(sign: char) -> &'static str {
    match sign {
        '+' => "\u{1b}[32m",
        '~' => "\u{1b}[33m",
        _ => "\u{1b}[31m",
    }
}

/// Items of a list come and go; anything else was one thing and becomes another.
fn difference(before: &Value, after: &Value) -> String {
    if let (Some(old), Some(new)) = (items(before), items(after)) {
        let added = without(new, old).into_iter().map(|item| format!("+ {}", shown_value(item)));
        let gone = without(old, new).into_iter().map(|item| format!("- {}", shown_value(item)));
        let changes: Vec<String> = added.chain(gone).collect();
        if !changes.is_empty() {
            return shown::line(&changes.join(", "), LONG);
        }
    }
    format!("{} -> {}", shown::line(&shown_value(before), LONG), shown::line(&shown_value(after), LONG))
}

/// What is not there has no items.
fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        Value::Null => Some(&[]),
        _ => None,
    }
}

/// The items of a list that are not among others, each as often as it is there more often.
fn without<'a>(items: &'a [Value], others: &[Value]) -> Vec<&'a Value> {
    let mut others: Vec<&Value> = others.iter().collect();
    let is_left = |item: &&Value| match others.iter().position(|other| other == item) {
        Some(place) => {
            others.swap_remove(place);
            false
        }
        None => true,
    };
    items.iter().filter(is_left).collect()
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(shown_value).collect::<Vec<_>>().join(", "))
        }
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{key}: {}", shown_value(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::difference;

    #[test]
    fn a_list_is_told_by_what_comes_and_goes_and_anything_else_as_a_whole() {
        for (before, after, told) in [
            (json!(["a", "b"]), json!(["b", "c"]), "+ c, - a"),
            (json!(["a"]), json!(["a", "a"]), "+ a"),
            (json!(["a", "b"]), json!(["b", "a"]), "[a, b] -> [b, a]"),
            (json!(null), json!(["a"]), "+ a"),
            (json!(null), json!("1h"), "none -> 1h"),
            (json!("1h"), json!(null), "1h -> none"),
            (json!(null), json!({ "attempts": 3, "days": ["mon"] }), "none -> { attempts: 3, days: [mon] }"),
            (json!(true), json!(false), "true -> false"),
        ] {
            assert_eq!(difference(&before, &after), told);
        }
    }

    #[test]
    fn what_a_definition_says_cannot_steer_the_terminal() {
        assert_eq!(difference(&json!("a"), &json!("\u{1b}[2Jb\nc")), "a ->  [2Jb c");
    }
}
