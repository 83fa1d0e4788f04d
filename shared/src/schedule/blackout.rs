//! Times of the day in which nothing is due.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc,
    Weekday,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::name::text_enum;

/// Blackouts that follow each other for longer have no end.
pub(super) const LONGEST: TimeDelta = TimeDelta::days(8);

/// A time of the day, on some days of the week or on all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blackout {
    /// When it begins.
    pub from: ClockTime,
    /// When it ends: on the next day where that is not after its beginning.
    pub until: ClockTime,
    /// The days on which it begins; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
}

text_enum! {
    /// A day of the week.
    Day {
        /// Monday
        Monday = "mon",
        /// Tuesday
        Tuesday = "tue",
        /// Wednesday
        Wednesday = "wed",
        /// Thursday
        Thursday = "thu",
        /// Friday
        Friday = "fri",
        /// Saturday
        Saturday = "sat",
        /// Sunday
        Sunday = "sun",
    }
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Mon => Self::Monday,
            Weekday::Tue => Self::Tuesday,
            Weekday::Wed => Self::Wednesday,
            Weekday::Thu => Self::Thursday,
            Weekday::Fri => Self::Friday,
            Weekday::Sat => Self::Saturday,
            Weekday::Sun => Self::Sunday,
        }
    }
}

/// A time of the day, to the minute: `22:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime(NaiveTime);

/// Text that is no time of the day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no time of the day such as 22:00")]
pub struct InvalidClockTime(String);

impl FromStr for ClockTime {
    type Err = InvalidClockTime;

    fn from_str(text: &str) -> Result<Self, InvalidClockTime> {
        NaiveTime::parse_from_str(text, "%H:%M").map(Self).map_err(|_| InvalidClockTime(text.to_owned()))
    }
}

impl TryFrom<String> for ClockTime {
    type Error = InvalidClockTime;

    fn try_from(text: String) -> Result<Self, InvalidClockTime> {
        text.parse()
    }
}

impl From<ClockTime> for String {
    fn from(time: ClockTime) -> Self {
        time.to_string()
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%H:%M"))
    }
}

impl Blackout {
    /// Its beginning and its end, if it lasts at a moment; the end is not part of it.
    pub(super) fn around(&self, at: DateTime<Utc>, timezone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let today = at.with_timezone(&timezone).date_naive();
        let begins = [today.checked_sub_days(Days::new(1))?, today];
        let mut lasting = begins.into_iter().filter_map(|day| self.on(day, timezone));
        lasting.find(|(from, until)| *from <= at && at < *until)
    }

    /// The one that begins on a day.
    fn on(&self, day: NaiveDate, timezone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        if !self.days.is_empty() && !self.days.contains(&day.weekday().into()) {
            return None;
        }
        let end = if self.until > self.from { day } else { day.checked_add_days(Days::new(1))? };
        Some((instant(day.and_time(self.from.0), timezone)?, instant(end.and_time(self.until.0), timezone)?))
    }
}

/// When a clock shows a time first; the end of the gap where it never does.
fn instant(local: NaiveDateTime, timezone: Tz) -> Option<DateTime<Utc>> {
    // No clock was ever set forward by more than a day.
    (0..=24 * 60).find_map(|minutes| {
        let local = local.checked_add_signed(TimeDelta::minutes(minutes))?;
        timezone.from_local_datetime(&local).earliest().map(|at| at.with_timezone(&Utc))
    })
}
