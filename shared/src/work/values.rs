//! Parameters that are read by hand, so that a refusal names the one that is wrong.

use serde_json::{Map, Value};

pub(super) type Read<T> = fn(&Value) -> Result<T, String>;

pub(super) fn required<T>(params: &Map<String, Value>, field: &str, read: Read<T>) -> Result<T, String> {
    optional(params, field, read)?.ok_or_else(|| format!("{field}: is missing"))
}

pub(super) fn optional<T>(
    params: &Map<String, Value>,
    field: &str,
    read: Read<T>,
) -> Result<Option<T>, String> {
    match params.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).map_err(|why| format!("{field}: {why}")),
    }
}
