//! The form of the summary.

use serde_json::{Map, Value, json};
use shared::alert::Severity;
use shared::compliance::{Answer, Rule};
use shared::task::TaskKind;

use crate::figures::PERIODS;

/// The form of [`crate::summary::Summary`]; a test holds one against it.
pub(super) fn schema() -> Value {
    let count = || json!({ "type": "integer", "minimum": 0 });
    let or_null = || json!({ "type": ["number", "null"] });
    let kinds = || each(TaskKind::ALL.iter().map(|kind| kind.as_str()), &count());
    let severities = || each(Severity::ALL.iter().map(|severity| severity.as_str()), &count());
    let answers = each(Answer::ALL.iter().map(|answer| answer.as_str()), &count());
    let figures = object(&json!({
        "backups": count(), "success_rate": or_null(), "throughput": or_null(), "source_bytes": count(), "storage_growth": count(),
        "dedup_ratio": or_null(), "p50_seconds": or_null(), "p95_seconds": or_null(), "p99_seconds": or_null(),
    }));
    let replica = json!({
        "type": ["object", "null"], "description": "The replica that is read from, where there is one",
        "properties": { "lag_seconds": or_null(), "used": { "type": "boolean" } }, "required": ["lag_seconds", "used"],
    });
    object(&json!({
        "jobs": object(&json!({
            "active": count(), "compliant": count(), "answers": each(Rule::ALL.iter().map(|rule| rule.as_str()), &answers),
        })),
        "figures": each(PERIODS.iter().map(|period| period.name), &figures),
        "tasks": object(&json!({ "waiting": kinds(), "running": kinds(), "dead": count() })),
        "open_alerts": severities(),
        "acknowledged_alerts": severities(),
        "workers": count(),
        "last_success_at": { "type": ["string", "null"], "format": "date-time" },
        "last_success_age_seconds": or_null(),
        "replica": replica,
    }))
}

fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

fn each<'a>(names: impl Iterator<Item = &'a str>, schema: &Value) -> Value {
    object(&Value::Object(names.map(|name| (name.to_owned(), schema.clone())).collect()))
}
