//! A job's retention as users write it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use shared::retention::{self, Keep, MOST_KEPT};

use super::Schedule;
use super::values::text;

/// How many restore points each of the job's targets keeps.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Retention {
    /// The last ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "count")]
    last: Option<u16>,
    /// The last one of each of so many hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "count")]
    hourly: Option<u16>,
    /// The last one of each of so many days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "count")]
    daily: Option<u16>,
    /// The last one of each of so many weeks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "count")]
    weekly: Option<u16>,
    /// The last one of each of so many months.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "count")]
    monthly: Option<u16>,
    /// The last one of each of so many years.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "count")]
    yearly: Option<u16>,
    /// By whose clock hours, days and so on begin.
    #[schemars(default = "utc", schema_with = "text")]
    timezone: String,
    /// When the rest is forgotten by itself; only when somebody asks, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Schedule")]
    schedule: Option<Schedule>,
}

impl From<&retention::Retention> for Retention {
    fn from(retention: &retention::Retention) -> Self {
        let count = |rule| retention.keep.get(&rule).map(|count| count.get());
        Self {
            last: count(Keep::Last),
            hourly: count(Keep::Hourly),
            daily: count(Keep::Daily),
            weekly: count(Keep::Weekly),
            monthly: count(Keep::Monthly),
            yearly: count(Keep::Yearly),
            timezone: retention.timezone.to_string(),
            schedule: retention.schedule.as_ref().map(Schedule::from),
        }
    }
}

fn utc() -> String {
    chrono_tz::Tz::default().to_string()
}

fn count(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "integer", "minimum": 0, "maximum": MOST_KEPT })
}
