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

pub(super) fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "is not a string".to_owned())
}

pub(super) fn word<T: std::str::FromStr<Err: std::fmt::Display>>(value: &Value) -> Result<T, String> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}
