//! A documented exception of a job from a rule.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Rule;

/// That somebody answers for it that a job does not follow a rule for a while. It changes no verdict: it is shown beside it, and
/// counted by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// From which rule.
    pub rule: Rule,
    /// Why, for people.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day in UTC on which it counts.
    pub until: NaiveDate,
}

impl Exception {
    /// Whether it still counts on a day.
    #[must_use]
    pub fn counts_on(&self, day: NaiveDate) -> bool {
        day <= self.until
    }
}
