//! The difference between what is stored and what was defined.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use shared::db::leftover::Leftover;

/// What applying makes of a definition.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is new.
    Added,
    /// Some of its fields differ.
    Changed(Vec<Difference>),
    /// Nothing.
    Unchanged,
    /// It is taken away. Of a job, its waiting tasks are cancelled and its running ones go on to their end; of a target,
    /// those that wait for its return are cancelled.
    Removed(Leftover),
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Its path as users write it, such as `schedule.cron`.
    pub field: String,
    /// What is stored; null where there is nothing.
    pub before: Value,
    /// What was defined; null where there is nothing.
    pub after: Value,
}

impl Change {
    /// It is taken away, and leaves no tasks behind.
    pub(super) const REMOVED: Self = Self::Removed(Leftover { waiting: 0, running: 0 });

    /// Compares a definition with the stored one, both as users write them.
    pub(super) fn between<T: Serialize>(stored: Option<T>, defined: &T) -> Self {
        let Some(stored) = stored else { return Self::Added };
        let mut differences = Vec::new();
        differing("", &json(&stored), &json(defined), &mut differences);
        if differences.is_empty() { Self::Unchanged } else { Self::Changed(differences) }
    }

    /// Whether a definition has to be written.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(self, Self::Added | Self::Changed(_))
    }

    /// Its name for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed(_) => "changed",
            Self::Unchanged => "unchanged",
            Self::Removed(_) => "removed",
        }
    }
}

fn json<T: Serialize>(definition: &T) -> Value {
    // Plain data with text keys always is JSON.
    serde_json::to_value(definition).unwrap_or_default()
}

/// Goes down into mappings that are there before and after; all else differs as a whole.
fn differing(path: &str, before: &Value, after: &Value, differences: &mut Vec<Difference>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let of = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            differing(&below, &of(old), &of(new), differences);
        }
    } else if before != after {
        let (before, after) = (before.clone(), after.clone());
        differences.push(Difference { field: path.to_owned(), before, after });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_field_that_differs_is_named_with_what_it_was_and_what_it_becomes() {
        let stored = json!({ "rpo": "1day", "site": "hq", "source": { "paths": ["/a"], "kind": "files" } });
        let defined = json!({ "rpo": "1day", "site": "vault", "source": { "paths": [], "kind": "files" }, "rto": "1h" });
        let Change::Changed(differences) = Change::between(Some(&stored), &&defined) else {
            panic!("not changed")
        };
        let told: Vec<_> = differences.iter().map(|d| (d.field.as_str(), &d.before, &d.after)).collect();
        assert_eq!(
            told,
            [
                ("rto", &Value::Null, &json!("1h")),
                ("site", &json!("hq"), &json!("vault")),
                ("source.paths", &json!(["/a"]), &json!([])),
            ]
        );
    }

    #[test]
    fn what_is_the_same_needs_no_writing() {
        let stored = json!({ "rpo": "1day" });
        assert_eq!(Change::between(Some(&stored), &&stored), Change::Unchanged);
        assert!(!Change::Unchanged.writes());
        assert!(Change::between(None, &stored).writes());
    }
}
