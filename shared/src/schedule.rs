//! When work is due: by the calendar of a time zone, or at a fixed interval.
//!
//! A *due time* is what a schedule says; each is worked on once. With jitter the work starts a little after it, always by the
//! same length for the same job.

mod blackout;
mod cron;

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use blackout::{Blackout, ClockTime, Day};
pub use cron::{Cron, InvalidCron};

use crate::name::text_enum;

/// A due time that is older than this was missed: nobody was there to see to it.
pub const LATE: TimeDelta = TimeDelta::minutes(1);
/// The most missed due times that can be caught up.
pub const MOST_CATCH_UP: u16 = 1000;
/// The shortest interval.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// When work is due, and what becomes of it when that is not possible.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// When.
    #[serde(flatten)]
    pub when: When,
    /// By whose clock.
    #[serde(default)]
    pub timezone: Tz,
    /// What becomes of due times that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Within which time after a due time the work starts, so that not everything starts at once.
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Duration::is_zero")]
    pub jitter: Duration,
    /// What becomes of a due time while the work of the one before it is not done.
    #[serde(default)]
    pub overlap: Overlap,
    /// When nothing is due: what would be is due at the end, once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackouts: Vec<Blackout>,
}

/// The times themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// By the calendar.
    Cron(Cron),
    /// At whole multiples since the beginning of 1970 in UTC, whoever was down meanwhile.
    Every(#[serde(with = "humantime_serde")] Duration),
}

/// What becomes of due times that were missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are passed over.
    None,
    /// The last one is worked on.
    #[default]
    Latest,
    /// So many of the last ones are, 1 to [`MOST_CATCH_UP`].
    All(u16),
}

text_enum! {
    /// What becomes of a due time while the work of the one before it is not done.
    #[derive(Default)]
    Overlap {
        /// It is passed over.
        #[default]
        Skip = "skip",
        /// It waits; while one does, those after it are passed over.
        Queue = "queue",
        /// Both are worked on at once.
        Allow = "allow",
    }
}

/// What a schedule has to say at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The due times that are to be worked on, the oldest first.
    pub due: Vec<DateTime<Utc>>,
    /// The next due time after these; `None` when there is none in any time to come.
    pub next: Option<DateTime<Utc>>,
}

impl Schedule {
    /// A schedule without any of the extras.
    #[must_use]
    pub const fn new(when: When, timezone: Tz) -> Self {
        Self {
            when,
            timezone,
            catch_up: CatchUp::Latest,
            jitter: Duration::ZERO,
            overlap: Overlap::Skip,
            blackouts: Vec::new(),
        }
    }

    /// The first due time after a moment; `None` when there is none in any time to come.
    #[must_use]
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // What is due at the end of a blackout may have come long before.
        let mut from = self.begin_of_blackout(after).map_or(after, |begin| begin - TimeDelta::nanoseconds(1));
        loop {
            from = self.when.next(from, self.timezone)?;
            let due = self.after_blackouts(from)?;
            if due > after {
                return Some(due);
            }
        }
    }

    /// What is to be done at a moment, when everything before `first`, a due time, is done.
    #[must_use]
    pub fn tick(&self, first: DateTime<Utc>, now: DateTime<Utc>) -> Tick {
        let in_time = self.latest(first.max(now - LATE), now, usize::MAX);
        let most = match self.catch_up {
            CatchUp::None => 0,
            // One that is in time is later than any that was missed.
            CatchUp::Latest => usize::from(in_time.is_empty()),
            CatchUp::All(most) => usize::from(most.min(MOST_CATCH_UP)),
        };
        let missed = self.latest(first, now - LATE - TimeDelta::nanoseconds(1), most);
        let next = self.next(now.max(first - TimeDelta::nanoseconds(1)));
        Tick { due: [missed, in_time].concat(), next }
    }

    /// The last due times from `first` to `now`, the oldest first.
    fn latest(&self, first: DateTime<Utc>, now: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        let mut due = VecDeque::new();
        let mut until = now;
        while due.len() < most {
            let Some(at) = self.when.previous(until, self.timezone) else { break };
            let shifted = self.after_blackouts(at);
            if at < first && shifted.is_none_or(|shifted| shifted < first) {
                break;
            }
            if let Some(shifted) = shifted.filter(|shifted| *shifted >= first && *shifted <= now)
                && due.front() != Some(&shifted)
            {
                due.push_front(shifted);
            }
            // All of a blackout is due once.
            until = self.begin_of_blackout(at).unwrap_or(at) - TimeDelta::nanoseconds(1);
        }
        due.into()
    }

    /// How long after its due times the work of something with this name starts: the same each time, and evenly spread over
    /// all names.
    #[must_use]
    pub fn delay(&self, name: &str) -> Duration {
        let hash = Sha256::digest(name.as_bytes());
        let number = hash.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let delay = self.jitter.mul_f64(f64::from(number) / (f64::from(u32::MAX) + 1.0));
        Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }

    /// The longest time between two due times within a year from a moment on, for comparisons with what is allowed to be lost.
    #[must_use]
    pub fn longest_gap(&self, from: DateTime<Utc>) -> Option<TimeDelta> {
        const DAY: TimeDelta = TimeDelta::days(1);
        if !self.is_alike_each_day() {
            return self.longest_gap_within(from, from + DAY * 366);
        }
        // Only where its clock is changed is a day another than the one before.
        let offset = |at: DateTime<Utc>| self.timezone.offset_from_utc_datetime(&at.naive_utc()).fix();
        let days = (0..366).map(|day| from + DAY * day);
        let changes = days.filter(|day| offset(*day) != offset(*day + DAY));
        let around = std::iter::once(from).chain(changes);
        around.filter_map(|day| self.longest_gap_within(day - DAY, day + DAY * 3)).max()
    }

    fn longest_gap_within(&self, from: DateTime<Utc>, end: DateTime<Utc>) -> Option<TimeDelta> {
        let (mut last, mut longest) = (self.next(from)?, TimeDelta::zero());
        // Enough to see each day of a year; what comes more often has no long gaps that a day does not have.
        for _ in 0..2000 {
            let Some(next) = self.next(last) else { return Some(longest) };
            longest = longest.max(next - last);
            last = next;
            if last > end {
                break;
            }
        }
        Some(longest)
    }

    /// Whether a clock that is never changed shows the same due times on each day.
    fn is_alike_each_day(&self) -> bool {
        let is_daily = match &self.when {
            When::Cron(cron) => cron.is_daily(),
            When::Every(_) => false,
        };
        is_daily && self.blackouts.iter().all(|blackout| blackout.days.is_empty())
    }

    /// Where a blackout has begun that lasts at a moment; the first one where several follow each other.
    fn begin_of_blackout(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut begin = None;
        let mut look = at;
        while let Some((from, _)) =
            self.blackouts.iter().find_map(|blackout| blackout.around(look, self.timezone))
        {
            begin = Some(from);
            look = from - TimeDelta::nanoseconds(1);
            if at - from > blackout::LONGEST {
                break;
            }
        }
        begin
    }

    /// A moment, or the end of the blackouts in which it lies; `None` when they have no end.
    fn after_blackouts(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut now = at;
        while let Some((_, until)) =
            self.blackouts.iter().find_map(|blackout| blackout.around(now, self.timezone))
        {
            now = until;
            if now - at > blackout::LONGEST {
                return None;
            }
        }
        Some(now)
    }
}

impl When {
    fn next(&self, after: DateTime<Utc>, timezone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.next(after, timezone),
            Self::Every(every) => multiple(after, *every, 1),
        }
    }

    /// The last one up to a moment, which is among those that are meant.
    fn previous(&self, until: DateTime<Utc>, timezone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.previous(until, timezone),
            Self::Every(every) => multiple(until, *every, 0),
        }
    }
}

/// The last multiple of an interval up to a moment, or one so many later.
fn multiple(at: DateTime<Utc>, every: Duration, later: i64) -> Option<DateTime<Utc>> {
    let every = i64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
    // A millisecond that has begun belongs to the multiple before it.
    let number = at.timestamp_millis().div_euclid(every) + later;
    DateTime::from_timestamp_millis(number.checked_mul(every)?)
}

#[cfg(test)]
mod tests;
