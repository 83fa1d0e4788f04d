//! Whole days, weeks and months in UTC.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, Utc, Weekday};
use serde::{Serialize, Serializer};

use super::ReportKind;

/// Whole days in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first one.
    pub from: NaiveDate,
    /// The last one.
    pub to: NaiveDate,
}

impl Span {
    /// How many days it has.
    #[must_use]
    pub fn days(&self) -> u64 {
        u64::try_from((self.to - self.from).num_days() + 1).unwrap_or(0)
    }

    /// Its first moment.
    #[must_use]
    pub fn start(&self) -> DateTime<Utc> {
        self.from.and_time(NaiveTime::MIN).and_utc()
    }

    /// The first moment after it.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        self.to.checked_add_days(Days::new(1)).unwrap_or(self.to).and_time(NaiveTime::MIN).and_utc()
    }

    /// The period before it, for comparison: the month before where it is a month, and as many days otherwise.
    ///
    /// # Errors
    /// The calendar ends there.
    pub fn before(&self, report: ReportKind) -> Result<Self, String> {
        let is_month = Self::month(self.from).as_ref() == Ok(self);
        if is_month && report != ReportKind::Weekly {
            let first = self.from.checked_sub_months(Months::new(1)).ok_or_else(beyond)?;
            return Self::month(first);
        }
        let days = Days::new(self.days());
        let from = self.from.checked_sub_days(days).ok_or_else(beyond)?;
        Ok(Self { from, to: self.to.checked_sub_days(days).ok_or_else(beyond)? })
    }

    pub(super) fn week(day: NaiveDate) -> Result<Self, String> {
        let monday = day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into()));
        let from = monday.ok_or_else(beyond)?;
        Ok(Self { from, to: from.checked_add_days(Days::new(6)).ok_or_else(beyond)? })
    }

    pub(super) fn month(day: NaiveDate) -> Result<Self, String> {
        let from = day.with_day(1).ok_or_else(beyond)?;
        let next = from.checked_add_months(Months::new(1)).ok_or_else(beyond)?;
        Ok(Self { from, to: next.pred_opt().ok_or_else(beyond)? })
    }
}

fn beyond() -> String {
    "period: lies beyond the calendar".to_owned()
}

/// An ISO week, by its Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week(pub(super) NaiveDate);

/// A month, by its first day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month(pub(super) NaiveDate);

impl std::str::FromStr for Week {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (year, week) = text.split_once("-W").filter(|_| text.len() == 8)?;
            NaiveDate::from_isoywd_opt(year.parse().ok()?, week.parse().ok()?, Weekday::Mon)
        };
        read()
            .filter(|day| is_reasonable(*day))
            .map(Self)
            .ok_or_else(|| "is no ISO week such as 2026-W47".to_owned())
    }
}

impl std::str::FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (year, month) = text.split_once('-').filter(|_| text.len() == 7)?;
            NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)
        };
        read()
            .filter(|day| is_reasonable(*day))
            .map(Self)
            .ok_or_else(|| "is no month such as 2026-11".to_owned())
    }
}

impl Serialize for Week {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.format("%G-W%V"))
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.format("%Y-%m"))
    }
}

/// Written with four digits for the year, and not so far away that sums leave the calendar.
pub(super) fn is_reasonable(day: NaiveDate) -> bool {
    (1970..=9000).contains(&day.year())
}
