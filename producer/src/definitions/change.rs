//! The difference between what is stored and what was defined.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// What applying a definition changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// Some of its fields differ.
    Changed {
        /// Their names as users write them.
        fields: Vec<String>,
    },
    /// Nothing.
    Unchanged,
    /// It is taken away.
    Removed,
}

impl Change {
    /// Compares a definition with the stored one.
    ///
    /// # Errors
    /// When a definition cannot become JSON; the types make sure that it can.
    pub fn between<T: Serialize>(stored: Option<&T>, defined: &T) -> serde_json::Result<Self> {
        let Some(stored) = stored else { return Ok(Self::Added) };
        let mut fields = BTreeSet::new();
        differing("", &serde_json::to_value(stored)?, &serde_json::to_value(defined)?, &mut fields);
        if fields.is_empty() {
            return Ok(Self::Unchanged);
        }
        Ok(Self::Changed { fields: fields.into_iter().collect() })
    }

    /// Whether something has to be written.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        *self != Self::Unchanged
    }

    /// The line for people: `~ job docs (rpo, targets)`.
    #[must_use]
    pub fn line(&self, what: &str, name: &str) -> String {
        match self {
            Self::Added => format!("+ {what} {name}"),
            Self::Changed { fields } => format!("~ {what} {name} ({})", fields.join(", ")),
            Self::Unchanged => format!("= {what} {name}"),
            Self::Removed => format!("- {what} {name}"),
        }
    }
}

fn differing(path: &str, before: &Value, after: &Value, fields: &mut BTreeSet<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for key in before.keys().chain(after.keys()) {
                let of =
                    |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                differing(&below(path, key), &of(before), &of(after), fields);
            }
        }
        _ if before == after => {}
        _ => _ = fields.insert(path.to_owned()),
    }
}

/// The path as users write it: they know no `place` around site, media and so on.
fn below(path: &str, key: &str) -> String {
    match (path, key) {
        (path, "place") => path.to_owned(),
        ("", key) => key.to_owned(),
        (path, key) => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_names_fields_as_users_write_them() {
        let stored = json!({ "rpo": "1day", "place": { "site": "hq" }, "source": { "paths": ["/a"], "kind": "files" } });
        let defined = json!({ "rpo": "1day", "place": { "site": "vault" }, "source": { "paths": [], "kind": "files" },
            "rto": "1h" });
        let change = Change::between(Some(&stored), &defined).unwrap();
        assert_eq!(change.line("job", "docs"), "~ job docs (rto, site, source.paths)");
        assert!(change.is_needed());
    }

    #[test]
    fn what_is_the_same_needs_no_writing() {
        let stored = json!({ "rpo": "1day" });
        assert_eq!(Change::between(Some(&stored), &stored).unwrap(), Change::Unchanged);
        assert!(!Change::Unchanged.is_needed());
    }

    #[test]
    fn what_is_not_stored_is_added() {
        let change = Change::between(None, &json!({})).unwrap();
        assert_eq!(change.line("target", "disk-a"), "+ target disk-a");
    }
}
