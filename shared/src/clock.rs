//! The process's own clock. Leases and evidence go by the database's; this one is for what has no row yet.

use chrono::{DateTime, Utc};

/// The time on this machine.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where a process reads its own clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
