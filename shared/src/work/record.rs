//! What another system reports of a backup that it did itself.
//!
//! Its word is taken for what it is: evidence of a weaker class, which nobody observed and no verification stands behind.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::values::{optional, required, text, word};
use crate::name::text_enum;
use crate::target::TargetName;
use crate::task::Outcome;

/// How far the other system's clock may be ahead.
pub const MOST_SKEW: TimeDelta = TimeDelta::minutes(5);
/// The longest name of a snapshot, in bytes.
const MAX_SNAPSHOT: usize = 200;
/// The longest error, in bytes.
const MAX_ERROR: usize = 4000;

text_enum! {
    /// What the other system says came of its backup.
    Reported {
        /// It is done.
        Success = "success",
        /// It is done, with source errors.
        Warning = "warning",
        /// It is not done.
        Failed = "failed",
    }
}

impl From<Reported> for Outcome {
    fn from(reported: Reported) -> Self {
        match reported {
            Reported::Success => Self::Success,
            Reported::Warning => Self::Warning,
            Reported::Failed => Self::Failed,
        }
    }
}

/// Parameters of `record`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
pub struct RecordParams {
    /// Where the backup went.
    pub target: TargetName,
    /// What came of it.
    pub outcome: Reported,
    /// When it began: the data is of this time. Not before 1970.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Bytes of the source, up to 2^63 - 1.
    #[schemars(with = "Option<u64>", range(max = i64::MAX))]
    pub bytes: u64,
    /// Entries of the source, up to 2^63 - 1.
    #[schemars(with = "Option<u64>", range(max = i64::MAX))]
    pub files: u64,
    /// What the other system calls the result, up to 200 bytes without control characters.
    #[schemars(length(min = 1, max = MAX_SNAPSHOT))]
    pub snapshot: Option<String>,
    /// Why it is no success, up to 4,000 bytes.
    #[schemars(length(max = MAX_ERROR))]
    pub error: Option<String>,
}

impl RecordParams {
    /// Reads the parameters; those that are not known are ignored.
    ///
    /// # Errors
    /// Names the parameter that is missing or wrong.
    pub(super) fn read(params: &Map<String, Value>) -> Result<Self, String> {
        let read = Self {
            target: required(params, "target", word)?,
            outcome: required(params, "outcome", word)?,
            started_at: required(params, "started_at", time)?,
            finished_at: required(params, "finished_at", time)?,
            bytes: optional(params, "bytes", number)?.unwrap_or_default(),
            files: optional(params, "files", number)?.unwrap_or_default(),
            snapshot: optional(params, "snapshot", snapshot)?,
            error: optional(params, "error", error)?.filter(|error| !error.is_empty()),
        };
        if read.finished_at < read.started_at {
            return Err("finished_at: is before started_at".to_owned());
        }
        if read.outcome == Reported::Success && read.error.is_some() {
            return Err("error: a success has none".to_owned());
        }
        Ok(read)
    }

    /// Checks what depends on the time at which the report was received.
    ///
    /// # Errors
    /// Names the parameter that is wrong.
    pub(super) fn check(&self, received_at: DateTime<Utc>) -> Result<(), String> {
        let latest = received_at + MOST_SKEW;
        for (field, time) in [("started_at", self.started_at), ("finished_at", self.finished_at)] {
            if time > latest {
                let minutes = MOST_SKEW.num_minutes();
                return Err(format!("{field}: lies more than {minutes} minutes ahead of {received_at}"));
            }
        }
        Ok(())
    }
}

fn time(value: &Value) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text(value)?)
        .map_err(|error| format!("{error}, use RFC 3339 such as 2026-11-23T02:00:00Z"))?;
    if time < DateTime::UNIX_EPOCH { Err("is before 1970".to_owned()) } else { Ok(time.to_utc()) }
}

fn number(value: &Value) -> Result<u64, String> {
    let number = value.as_u64().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| format!("is not a whole number from 0 to {}", i64::MAX))
}

fn snapshot(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    if text.is_empty() || text.len() > MAX_SNAPSHOT || text.chars().any(char::is_control) {
        return Err(format!("is not 1 to {MAX_SNAPSHOT} bytes without control characters"));
    }
    Ok(text.to_owned())
}

fn error(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    if text.len() > MAX_ERROR {
        return Err(format!("is longer than {MAX_ERROR} bytes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Value {
        json!({
            "target": "vault", "outcome": "warning", "started_at": "2026-11-23T02:00:00+01:00",
            "finished_at": "2026-11-23T01:30:00Z", "bytes": 9_223_372_036_854_775_807_u64, "files": 3,
            "snapshot": "erp full #7", "error": "3 files were open", "operator": "ignored",
        })
    }

    fn read(params: &Value) -> Result<RecordParams, String> {
        RecordParams::read(params.as_object().unwrap())
    }

    #[test]
    fn a_report_is_read_with_its_times_as_moments() {
        let report = read(&report()).unwrap();
        assert_eq!((report.target.as_str(), report.outcome), ("vault", Reported::Warning));
        assert_eq!(report.started_at.to_rfc3339(), "2026-11-23T01:00:00+00:00");
        assert_eq!((report.bytes, report.files), (u64::try_from(i64::MAX).unwrap(), 3));
        assert_eq!(report.snapshot.as_deref(), Some("erp full #7"));
    }

    #[test]
    fn what_a_report_need_not_say_is_nothing() {
        let mut least = report();
        for field in ["bytes", "files", "snapshot", "error"] {
            least.as_object_mut().unwrap().remove(field);
        }
        let least = read(&least).unwrap();
        assert_eq!((least.bytes, least.files, least.snapshot, least.error), (0, 0, None, None));
    }

    #[test]
    fn each_parameter_that_is_missing_or_wrong_is_named() {
        let cases = [
            ("target", json!(null), "is missing"),
            ("target", json!("../up"), "is not a name"),
            ("target", json!(7), "is not a string"),
            ("outcome", json!(null), "is missing"),
            ("outcome", json!("great"), "use one of: success, warning, failed"),
            ("outcome", json!("success"), "error: a success has none"),
            ("started_at", json!(null), "is missing"),
            ("started_at", json!("yesterday"), "use RFC 3339"),
            ("started_at", json!(1_700_000_000), "is not a string"),
            ("started_at", json!("1969-12-31T23:59:59Z"), "is before 1970"),
            ("finished_at", json!(null), "is missing"),
            ("finished_at", json!("2026-11-23T00:59:59Z"), "finished_at: is before started_at"),
            ("bytes", json!(-1), "is not a whole number from 0"),
            ("bytes", json!(1.5), "is not a whole number from 0"),
            ("bytes", json!(9_223_372_036_854_775_808_u64), "is not a whole number from 0"),
            ("bytes", json!("12"), "is not a whole number from 0"),
            ("files", json!([]), "is not a whole number from 0"),
            ("snapshot", json!(""), "is not 1 to 200 bytes"),
            ("snapshot", json!("x".repeat(201)), "is not 1 to 200 bytes"),
            ("snapshot", json!("a\nb"), "without control characters"),
            ("error", json!({}), "is not a string"),
            ("error", json!("x".repeat(4001)), "is longer than 4000 bytes"),
        ];
        for (field, value, why) in cases {
            let mut report = report();
            report[field] = value;
            let error = read(&report).unwrap_err();
            let names_it = error.starts_with(&format!("{field}: ")) || error.starts_with("error: a success");
            assert!(names_it && error.contains(why), "{field}: {error}");
        }
    }

    #[test]
    fn a_time_may_be_ahead_by_what_clocks_differ_and_no_more() {
        let report = read(&report()).unwrap();
        let received = |before_its_end: TimeDelta| report.check(report.finished_at - before_its_end);
        assert_eq!(received(MOST_SKEW), Ok(()));
        let error = received(MOST_SKEW + TimeDelta::seconds(1)).unwrap_err();
        assert!(error.starts_with("finished_at: lies more than 5 minutes ahead"), "{error}");
        let error = report.check(report.started_at - TimeDelta::hours(1)).unwrap_err();
        assert!(error.starts_with("started_at: lies"), "{error}");
    }
}
