//! A cron expression.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

/// The longest expression, in bytes.
const LONGEST: usize = 200;

/// A cron expression of five fields, or six with seconds first, or a nickname such as `@daily`. Days of the month and of the
/// week are alternatives where both are given.
///
/// Where a clock is set forward, a fixed time in the gap is right after it; where it is set back, a fixed time is
/// there once and a wildcard as often as the clock shows it (<https://docs.rs/croner>).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    cron: Box<croner::Cron>,
}

/// Text that is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no cron expression: {why}")]
pub struct InvalidCron {
    text: String,
    why: String,
}

impl Cron {
    /// Whether it names no days.
    pub(super) fn is_daily(&self) -> bool {
        self.text.split_whitespace().rev().take(3).all(|field| field == "*")
    }

    /// The first time after a moment; `None` when there is none in any time to come.
    #[must_use]
    pub(super) fn next(&self, after: DateTime<Utc>, timezone: Tz) -> Option<DateTime<Utc>> {
        let next = self.cron.find_next_occurrence(&on_the_second(after, timezone), false).ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// The last time up to a moment.
    #[must_use]
    pub(crate) fn previous(&self, until: DateTime<Utc>, timezone: Tz) -> Option<DateTime<Utc>> {
        let previous = self.cron.find_previous_occurrence(&on_the_second(until, timezone), true).ok()?;
        Some(previous.with_timezone(&Utc))
    }
}

/// The second in which a moment lies, which is all that counts for times of whole seconds: from within the second before a clock is
/// set back, croner 4 finds "previous" times that are still to come.
fn on_the_second(at: DateTime<Utc>, timezone: Tz) -> DateTime<Tz> {
    at.duration_trunc(TimeDelta::seconds(1)).unwrap_or(at).with_timezone(&timezone)
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        let invalid = |why: String| InvalidCron { text: text.chars().take(LONGEST).collect(), why };
        if text.len() > LONGEST {
            return Err(invalid(format!("it is longer than {LONGEST} bytes")));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| invalid(error.to_string()))?;
        let cron = Self { text: text.trim().to_owned(), cron: Box::new(cron) };
        // The calendar repeats itself every 400 years, and one day in eight years is the rarest that people mean.
        if cron.next(DateTime::UNIX_EPOCH, Tz::UTC).is_none() {
            return Err(invalid("it never comes".to_owned()));
        }
        Ok(cron)
    }
}

impl TryFrom<String> for Cron {
    type Error = InvalidCron;

    fn try_from(text: String) -> Result<Self, InvalidCron> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

/// The parsed form fills pages.
impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
