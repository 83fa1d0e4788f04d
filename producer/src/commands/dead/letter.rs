//! A dead letter as people see it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::broker::Delivered;
use shared::message::MAX_BYTES;
use shared::topology::{DETAIL_HEADER, QUEUE_HEADER, REASON_HEADER};
use uuid::Uuid;

/// The longest message id that is shown as it is.
const MAX_ID: usize = 64;
/// So many bytes of a body's SHA-256 tell letters apart that have no id.
const HASH_BYTES: usize = 8;

/// The JSON object that `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Letter {
    /// The message's id, or the beginning of its body's SHA-256.
    pub(super) id: String,
    /// Why it was refused, as a stable word.
    pub(super) reason: Option<String>,
    /// Why it was refused, for people.
    pub(super) detail: Option<String>,
    /// Where it came from.
    pub(super) queue: Option<String>,
    /// When it was refused.
    pub(super) died_at: Option<DateTime<Utc>>,
    /// The task's kind, as far as the body tells.
    pub(super) kind: Option<String>,
    /// The task's job, as far as the body tells.
    pub(super) job: Option<String>,
    /// The body's size.
    pub(super) bytes: usize,
}

impl Letter {
    /// Reads what is known of a letter.
    pub(super) fn read(delivered: &Delivered) -> Self {
        let text = |name| delivered.header(name).map(ToOwned::to_owned);
        let by_body = Self::of_body(&delivered.body);
        let id = delivered.message_id.as_ref().filter(|id| is_plain(id));
        Self {
            id: id.cloned().unwrap_or(by_body.id),
            reason: text(REASON_HEADER),
            detail: text(DETAIL_HEADER),
            queue: text(QUEUE_HEADER),
            // Our own letters carry their time in their id as well.
            died_at: delivered.published_at.or_else(|| time_of(delivered.message_id.as_deref()?)),
            ..by_body
        }
    }

    /// What letters are sorted by, the oldest first; one whose age cannot be told counts as the oldest.
    pub(super) fn position(&self) -> (Option<DateTime<Utc>>, &str) {
        (self.died_at, &self.id)
    }

    /// What a body alone tells.
    pub(super) fn of_body(body: &[u8]) -> Self {
        let task: Value = match body.len() {
            0..=MAX_BYTES => serde_json::from_slice(body).unwrap_or_default(),
            _ => Value::Null,
        };
        let text = |field: &str| Some(task.get(field)?.as_str()?.to_owned());
        Self {
            id: hex::encode(&Sha256::digest(body)[..HASH_BYTES]),
            reason: None,
            detail: None,
            queue: None,
            died_at: None,
            kind: text("kind"),
            job: text("job"),
            bytes: body.len(),
        }
    }
}

/// Whether a foreign id can be shown, and typed, as it is.
fn is_plain(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.len() <= MAX_ID && id.chars().all(plain)
}

fn time_of(id: &str) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.parse::<Uuid>().ok()?.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_without_an_id_is_known_by_its_body() {
        let (one, same, other) = (Letter::of_body(b"a"), Letter::of_body(b"a"), Letter::of_body(b"b"));
        assert_eq!(one.id, same.id);
        assert_ne!(one.id, other.id);
    }

    #[test]
    fn an_id_that_could_not_be_typed_is_not_used() {
        for id in ["", "--all", "a b", "a\u{1b}[2J", &"x".repeat(65)] {
            assert!(!is_plain(id), "{id:?}");
        }
        assert!(is_plain("0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f"));
    }

    #[test]
    fn an_id_of_ours_tells_its_time() {
        let now = shared::clock::now();
        let told = time_of(&Uuid::now_v7().to_string()).unwrap();
        assert!((told - now).num_seconds().abs() < 5, "{told}");
        assert_eq!(time_of("7"), None);
    }
}
