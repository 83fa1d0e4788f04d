//! Single values as users write them, and what a JSON Schema can say about them.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use shared::channel::ADDRESS_PATTERN;
use shared::target::TargetName;

/// A length of time, in the largest unit of which it is a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length(pub Duration);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u128 = 1_000_000_000;
        let nanos = self.0.as_nanos();
        let units = [
            (24 * 60 * 60 * SECOND, "days"),
            (60 * 60 * SECOND, "h"),
            (60 * SECOND, "m"),
            (SECOND, "s"),
            (1_000_000, "ms"),
            (1000, "us"),
        ];
        let whole = |(unit, _): &(u128, &str)| nanos > 0 && nanos.is_multiple_of(*unit);
        match units.into_iter().find(whole) {
            Some((unit, "days")) if nanos == unit => f.write_str("1day"),
            Some((unit, name)) => write!(f, "{}{name}", nanos / unit),
            None if nanos == 0 => f.write_str("0s"),
            None => write!(f, "{nanos}ns"),
        }
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One that is not nothing, and one that may be.
const UNITS: &str = "(nanos|nsec|ns|usec|us|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m\
     |hours|hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w|months|month|M|years|year|yrs|yr|y)";

impl JsonSchema for Length {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time such as 30s, 26h or 7d",
            "type": "string",
            "pattern": format!("^(?=.*[1-9])\\s*([0-9]+\\s*{UNITS}\\s*)+$"),
        })
    }
}

/// A length of time that may be nothing.
pub(super) fn delay(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "A length of time such as 0s, 5m or 2h",
        "type": "string",
        "pattern": format!("^\\s*([0-9]+\\s*{UNITS}\\s*)+$"),
    })
}

/// A number of bytes, in the largest unit of which it is a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(bits, _)| self.0 > 0 && self.0.is_multiple_of(1 << bits)) {
            Some((bits, unit)) => serializer.collect_str(&format_args!("{}{unit}", self.0 >> bits)),
            None => serializer.serialize_u64(self.0),
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size such as 512MiB, or a number of bytes",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?\\s*([KkMmGgTtPpEe][iI]?)?[Bb]?$" },
            ],
        })
    }
}

/// A name: see [`shared::name`].
pub(super) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" })
}

/// The targets of a job.
pub(super) fn targets(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": name(generator), "minItems": 1, "uniqueItems": true })
}

/// A text that says something.
pub(super) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 4096, "pattern": "\\S" })
}

/// What limits can name.
pub(super) fn label(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 200, "pattern": "^[^\\r\\n]*\\S[^\\r\\n]*$" })
}

const ABSOLUTE: &str = "(?!.*(^|/)\\.\\.(/|$))/";

/// An absolute path.
pub(super) fn path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 4096, "pattern": format!("^{ABSOLUTE}") })
}

/// Absolute paths, one at least.
pub(super) fn paths(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": path(generator), "minItems": 1 })
}

/// A path, or the URL of a REST server.
pub(super) fn repository(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^({ABSOLUTE}|rest:https?://[^/@]+(/|$))") })
}

/// The name of a variable of the environment.
pub(super) fn variable(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" })
}

/// The address of a mailbox.
pub(super) fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 254, "pattern": ADDRESS_PATTERN })
}

/// Addresses of mailboxes, one at least.
pub(super) fn addresses(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": address(generator), "minItems": 1 })
}

/// The name or the address of a machine.
pub(super) fn host(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 255, "pattern": "^[A-Za-z0-9.:-]+$" })
}

/// The URL of a server, without user and password.
pub(super) fn web(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 4096, "pattern": "^https?://[^\\s/?#@]+([/?#]\\S*)?$" })
}

/// Globs, which can only leave things out.
pub(super) fn excludes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "maxLength": 4096, "pattern": "^(?!!)[\\s\\S]*\\S" } })
}

/// What became of due times that were missed.
pub(super) fn catch_up(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^(none|latest|all\\((1000|[1-9][0-9]{0,2})\\))$" })
}

/// A time of the day.
pub(super) fn clock(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5]?[0-9]$" })
}

/// One of some words.
pub(super) fn words<T: fmt::Display>(words: impl IntoIterator<Item = T>) -> Schema {
    let words: Vec<Value> = words.into_iter().map(|word| json!(word.to_string())).collect();
    json_schema!({ "type": "string", "enum": words })
}

/// A mapping from some words, each of which may be absent.
pub(super) fn keyed<T: fmt::Display, V: JsonSchema>(
    keys: impl IntoIterator<Item = T>,
    generator: &mut SchemaGenerator,
) -> Schema {
    let schema = json!(generator.subschema_for::<V>());
    let properties: serde_json::Map<String, Value> =
        keys.into_iter().map(|key| (key.to_string(), schema.clone())).collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// Whether a truth need not be said.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_false(truth: &bool) -> bool {
    !truth
}

/// Names as text.
pub(super) fn named(names: &[TargetName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_told_in_one_unit_and_read_back_as_it_was() {
        for (seconds, told) in [
            (86_400, "1day"),
            (90 * 86_400, "90days"),
            (26 * 3600, "26h"),
            (5400, "90m"),
            (61, "61s"),
            (0, "0s"),
        ] {
            assert_eq!(Length(Duration::from_secs(seconds)).to_string(), told);
        }
        for nanos in [1, 1000, 1_500_000, 1_000_000_001, 999_999_999_999] {
            let length = Duration::from_nanos(nanos);
            let told = Length(length).to_string();
            assert_eq!(humantime::parse_duration(&told).unwrap(), length, "{told}");
        }
    }

    #[test]
    fn a_size_loses_no_byte() {
        for (bytes, written) in
            [(50 << 20, json!("50MiB")), (3 << 40, json!("3TiB")), (1025, json!(1025)), (0, json!(0))]
        {
            assert_eq!(json!(Size(bytes)), written);
        }
    }
}
