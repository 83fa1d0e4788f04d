//! The reading of single values.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::fields::{Fields, Located};
use super::node::Value;

/// The longest free text, in bytes.
const MAX_TEXT: usize = 4096;
/// The longest length of time: beyond it, sums with dates would leave the calendar.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// A text that says something.
pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) if text.trim().is_empty() => Err("is empty".to_owned()),
        // PostgreSQL's JSON cannot hold a zero character.
        Value::Text(text) if text.len() > MAX_TEXT || text.contains('\0') => {
            Err(format!("is longer than {MAX_TEXT} bytes or holds a zero"))
        }
        Value::Text(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Whole(_) | Value::Number(_) => {
            Err(format!("is {}, put it in quotes to make it a text", value.what()))
        }
        other => Err(format!("is {}, a text is needed", other.what())),
    }
}

/// A name, or a word of a list.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: &Value) -> Result<T, String> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// True or false.
pub(super) fn truth(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        other => Err(format!("is {}, true or false is needed", other.what())),
    }
}

/// A length of time that may be nothing.
pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    let example = "a length of time such as 30s, 26h or 7d";
    let text = match value {
        Value::Text(text) => text.as_str(),
        Value::Whole(_) | Value::Number(_) => return Err(format!("has no unit, write {example}")),
        other => return Err(format!("is {}, {example} is needed", other.what())),
    };
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{text:?} is not {example}: {error}"))?;
    if duration > LONGEST {
        return Err("is longer than 10 years".to_owned());
    }
    Ok(duration)
}

/// A length of time that is not nothing.
pub(super) fn period(value: &Value) -> Result<Duration, String> {
    match duration(value)? {
        Duration::ZERO => Err("is zero".to_owned()),
        period => Ok(period),
    }
}

/// A share from 0 to 1.
pub(super) fn share(value: &Value) -> Result<f64, String> {
    let share = number(value)?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("is not from 0 to 1".to_owned()) }
}

/// A number that need not be whole.
pub(super) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Whole(number) => Ok(*number as f64),
        Value::Number(number) => Ok(*number),
        other => Err(format!("is {}, a number is needed", other.what())),
    }
}

/// A number of things.
pub(super) fn count(value: &Value) -> Result<u32, String> {
    match value {
        Value::Whole(count) => u32::try_from(*count).map_err(|_| "is too large".to_owned()),
        Value::Number(_) => Err("is not a whole number from 1".to_owned()),
        other => Err(format!("is {}, a whole number is needed", other.what())),
    }
}

/// A size such as `1GiB`, or a number of bytes.
pub(super) fn bytes(value: &Value) -> Result<u64, String> {
    match value {
        Value::Whole(bytes) => Ok(*bytes),
        Value::Text(text) => text
            .parse::<ByteSize>()
            .map(|size| size.as_u64())
            .map_err(|_| format!("{text:?} is not a size such as 512MiB")),
        other => Err(format!("is {}, a size such as 512MiB is needed", other.what())),
    }
}

/// An absolute path without detours, so that one place has one spelling.
pub(super) fn absolute_path(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let path = Path::new(&text);
    if !path.is_absolute() {
        return Err(format!("{text:?} is not an absolute path"));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(format!("{text:?} goes up again, write the path without \"..\""));
    }
    Ok(path.components().collect::<PathBuf>().display().to_string())
}

/// The name of a variable of the environment.
pub(super) fn variable(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(name)
    } else {
        Err(format!("{name:?} is not the name of a variable"))
    }
}

/// The items of a list, in which nothing stands twice.
pub(super) fn distinct<T>(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    items: Vec<Located<T>>,
    name: fn(&T) -> &str,
) -> Vec<T> {
    let mut seen = BTreeSet::new();
    for item in &items {
        if !seen.insert(name(&item.value)) {
            fields.problem(item.at.line, key, format!("{} stands there twice", name(&item.value)));
        }
    }
    items.into_iter().map(|item| item.value).collect()
}
