//! What upkeep of the database came to, for people.

use serde_json::Value;
use shared::terminal;

/// The figures of a `maintain` attempt's detail, as tables; `None` for the detail of anything else.
pub(super) fn text(detail: &Value) -> Option<String> {
    let action = detail.get("action")?.as_str()?;
    let dry_run = detail.get("dry_run")?.as_bool()?;
    let mut text = format!("{action}{}", if dry_run { " (dry run: nothing was changed)" } else { "" });
    for list in ["swept", "tables", "indexes"] {
        let Some(rows) = detail.get(list).and_then(Value::as_array) else { continue };
        text.push('\n');
        text.push_str(&table(rows).unwrap_or_else(|| format!("{list}: none")));
    }
    let leftovers = detail.get("leftovers").and_then(Value::as_array).into_iter().flatten();
    let leftovers: Vec<&str> = leftovers.filter_map(Value::as_str).collect();
    if !leftovers.is_empty() {
        text.push_str("\nleft over from builds that were broken off: ");
        text.push_str(&leftovers.join(", "));
    }
    Some(text)
}

fn table(rows: &[Value]) -> Option<String> {
    let first = rows.first()?.as_object()?;
    let headers: Vec<String> = first.keys().map(|key| key.replace('_', " ")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let mut table = terminal::table(&headers);
    for row in rows {
        table.add_row(first.keys().map(|key| cell(key, &row[key])).collect::<Vec<_>>());
    }
    Some(table.to_string())
}

fn cell(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if key.starts_with("bytes") => {
            terminal::bytes(number.as_i64().unwrap_or_default())
        }
        Value::Number(number) if key == "seconds" => terminal::seconds(number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}
