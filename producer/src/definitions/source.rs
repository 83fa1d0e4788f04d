//! A job's source as users write it.

use shared::job::{Hashes, Source, SourceData};

use super::fields::Fields;
use super::node::Value;
use super::place;
use super::values::{absolute_path, bytes, duration, parsed, share, text, truth};

enum Kind {
    Files,
    Reported,
    Simulated,
}

/// Reads the source; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>) -> Option<Source> {
    // The other fields depend on it: without it, nothing can be said about them.
    let data = match fields.required("kind", kind)?.value {
        Kind::Files => files(&mut fields),
        Kind::Reported => SourceData::Reported,
        Kind::Simulated => simulated(&mut fields),
    };
    let place = place::read(&mut fields);
    fields.finish();
    Some(Source { data, place: place? })
}

fn kind(value: &Value) -> Result<Kind, String> {
    match text(value)?.as_str() {
        "files" => Ok(Kind::Files),
        "reported" => Ok(Kind::Reported),
        "simulated" => Ok(Kind::Simulated),
        kind @ ("dump" | "command") => Err(format!("{kind} is not implemented yet")),
        other => Err(format!("{other:?} is unknown, use one of: files, reported, simulated")),
    }
}

fn files(fields: &mut Fields<'_, '_>) -> SourceData {
    SourceData::Files {
        paths: values(fields.required_list("paths", absolute_path)),
        exclude: values(fields.optional_list("exclude", pattern)),
        hashes: fields.optional("hashes", parsed).unwrap_or(Hashes::Sample),
    }
}

fn simulated(fields: &mut Fields<'_, '_>) -> SourceData {
    SourceData::Simulated {
        duration: fields.optional("duration", duration).unwrap_or_default(),
        failure_rate: fields.optional("failure_rate", share).unwrap_or_default(),
        bytes: fields.optional("bytes", bytes).unwrap_or_default(),
        aborts: fields.optional("aborts", truth).unwrap_or_default(),
    }
}

fn pattern(value: &Value) -> Result<String, String> {
    let pattern = text(value)?;
    if pattern.starts_with('!') {
        return Err(format!("{pattern:?} begins with '!', a pattern can only leave things out"));
    }
    Ok(pattern)
}

fn values<T>(located: Vec<super::fields::Located<T>>) -> Vec<T> {
    located.into_iter().map(|located| located.value).collect()
}
