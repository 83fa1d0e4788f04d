//! The longest times between due times: they take a while to find, and many jobs share their schedules.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::schedule::Schedule;

/// Those that are known.
pub(super) struct Gaps {
    from: DateTime<Utc>,
    known: HashMap<String, Option<Duration>>,
}

impl Gaps {
    /// Looks at the year from a moment on.
    pub(super) fn from(from: DateTime<Utc>) -> Self {
        Self { from, known: HashMap::new() }
    }

    /// The longest gap of a schedule; `None` where it ends.
    pub(super) fn longest(&mut self, schedule: &Schedule) -> Option<Duration> {
        let longest = || schedule.longest_gap(self.from).and_then(|gap| gap.to_std().ok());
        // Plain data with text keys always has a text.
        let Ok(text) = serde_json::to_string(schedule) else { return longest() };
        *self.known.entry(text).or_insert_with(longest)
    }
}
