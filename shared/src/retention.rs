//! What a job keeps of its restore points.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::name::text_enum;
use crate::schedule::Schedule;

/// The largest number that a rule can be given.
pub const MOST_KEPT: u16 = 10_000;

text_enum! {
    /// A rule of retention. Each keeps so many restore points, and what one of them keeps is kept.
    Keep {
        /// The newest.
        Last = "last",
        /// The newest of an hour, for each of the last hours that have one.
        Hourly = "hourly",
        /// The same for days.
        Daily = "daily",
        /// For ISO weeks, which begin on Mondays.
        Weekly = "weekly",
        /// For months.
        Monthly = "monthly",
        /// For years.
        Yearly = "yearly",
    }
}

/// What a job keeps on each of its targets, and when the rest is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// How many restore points each rule keeps: at least one rule, 1 to [`MOST_KEPT`] each.
    #[serde(flatten)]
    pub keep: BTreeMap<Keep, NonZeroU16>,
    /// By whose calendar hours, days, weeks, months and years begin.
    pub timezone: Tz,
    /// When the rest is forgotten by itself; without it only when somebody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_retention_is_stored_as_users_write_it() {
        let stored = json!({ "last": 7, "monthly": 12, "timezone": "Europe/Berlin", "schedule": {
            "cron": "0 4 * * *", "timezone": "UTC", "catch_up": "latest", "overlap": "skip" } });
        let retention: Retention = serde_json::from_value(stored.clone()).unwrap();
        let kept: Vec<_> = retention.keep.iter().map(|(rule, count)| (*rule, count.get())).collect();
        assert_eq!(kept, [(Keep::Last, 7), (Keep::Monthly, 12)]);
        assert_eq!(serde_json::to_value(retention).unwrap(), stored);
    }
}
