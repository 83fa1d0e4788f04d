//! An attempt that somebody should look at.

use serde::Serialize;
use serde_json::Value;
use shared::db::execution::Finished;

use super::super::words;

/// An attempt without full success.
#[derive(Debug, Serialize)]
pub(super) struct Trouble {
    #[serde(flatten)]
    pub(super) attempt: Finished,
    /// Its error, the first entries that it could not read, or what it missed.
    pub(super) why: String,
}

impl Trouble {
    /// The lists of entries and the whole error stay with the execution.
    pub(super) fn new(mut attempt: Finished) -> Self {
        let detail = attempt.detail.take();
        let error = attempt.error.take();
        let why = error
            .or_else(|| unread(detail.as_ref()?))
            .or_else(|| missing(detail.as_ref()?))
            .unwrap_or_default();
        Self { attempt, why: words::short(&why) }
    }
}

/// The first entries of the source that a backup could not read.
fn unread(detail: &Value) -> Option<String> {
    let entries = detail.get("source_errors")?.as_array()?;
    let entries: Vec<&str> = entries.iter().filter_map(Value::as_str).collect();
    (!entries.is_empty()).then(|| format!("could not be read: {}", entries.join(", ")))
}

/// How many restore points a retention would have kept that are not in the repository any more.
fn missing(detail: &Value) -> Option<String> {
    let count = detail.pointer("/missing/count")?.as_u64().filter(|count| *count > 0)?;
    Some(format!("{count} restore points are to be kept and are not there"))
}
