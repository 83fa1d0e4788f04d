//! Due times by another way than the scheduler's: what a clock on the wall shows, day by day.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{
    DateTime, Datelike as _, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _,
    Timelike as _, Utc,
};
use chrono_tz::Tz;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use shared::schedule::{Blackout, CatchUp, LATE, Overlap, Schedule, When};

/// Where clocks are set in October 2026 or on the first of November: forward in Sydney, by half an hour on Lord Howe;
/// back at midnight in Cairo and Beirut, in the night elsewhere; or not at all.
pub(super) const ZONES: [Tz; 12] = [
    Tz::Africa__Cairo,
    Tz::America__Havana,
    Tz::America__Los_Angeles,
    Tz::America__New_York,
    Tz::Asia__Beirut,
    Tz::Asia__Kathmandu,
    Tz::Asia__Kolkata,
    Tz::Australia__Lord_Howe,
    Tz::Australia__Sydney,
    Tz::Europe__Berlin,
    Tz::Europe__London,
    Tz::UTC,
];

/// A schedule, and what it means.
pub(super) struct Case {
    pub(super) schedule: Schedule,
    meaning: Meaning,
}

/// What an expression means, without the expression.
enum Meaning {
    Calendar(Calendar),
    Every(Duration),
}

struct Calendar {
    seconds: Vec<u32>,
    minutes: Vec<u32>,
    hours: Vec<u32>,
    /// Alternatives where both are there.
    days: Option<Vec<u32>>,
    /// 0 is Sunday.
    weekdays: Option<Vec<u32>>,
    /// One second of one minute of one hour, each named.
    is_fixed: bool,
}

impl Calendar {
    /// A fixed time of each day.
    fn at(hour: u32, minute: u32) -> Self {
        Self {
            seconds: vec![0],
            minutes: vec![minute],
            hours: vec![hour],
            days: None,
            weekdays: None,
            is_fixed: true,
        }
    }
}

impl Case {
    /// Some schedule.
    pub(super) fn any(dice: &mut StdRng) -> Self {
        let timezone = *ZONES.choose(dice).unwrap();
        let (when, meaning) = any_when(dice);
        let is_rare = matches!(&meaning, Meaning::Calendar(calendar) if calendar.is_fixed);
        let catch_up = match dice.random_range(0..3) {
            0 => CatchUp::None,
            1 => CatchUp::Latest,
            _ => CatchUp::All(dice.random_range(1..6)),
        };
        let overlap = match dice.random_range(0..10) {
            0 => Overlap::Skip,
            1 => Overlap::Queue,
            _ => Overlap::Allow,
        };
        let mut schedule = Schedule { catch_up, overlap, ..Schedule::new(when, timezone) };
        // What comes often keeps to whole minutes, so that one look sees many.
        if is_rare && dice.random_bool(0.06) {
            schedule.jitter = Duration::from_secs(dice.random_range(1..1800));
        }
        if dice.random_bool(0.1) {
            let (from, until) = *[("20:00", "21:30"), ("10:00", "12:00")].choose(dice).unwrap();
            let days = if dice.random() { "[]" } else { "[\"mon\", \"thu\", \"sat\"]" };
            schedule.blackouts = vec![Blackout {
                from: from.parse().unwrap(),
                until: until.parse().unwrap(),
                days: serde_json::from_str(days).unwrap(),
            }];
        }
        Self { schedule, meaning }
    }

    /// What is due after `start` up to `end`, when nobody was there from the one to the other moment of `outage`.
    pub(super) fn due(
        &self,
        name: &str,
        start: DateTime<Utc>,
        outage: (DateTime<Utc>, DateTime<Utc>),
        end: DateTime<Utc>,
    ) -> BTreeSet<DateTime<Utc>> {
        let delay = self.schedule.delay(name);
        let (gone, back) = (outage.0 - delay, outage.1 - delay);
        let mut due = self.all(start, end - delay);
        let in_time = due.range(back - LATE..=back).next().is_some();
        let missed: Vec<DateTime<Utc>> =
            due.range(gone..back - LATE).copied().filter(|due| *due > gone).collect();
        let kept = match self.schedule.catch_up {
            CatchUp::None => 0,
            CatchUp::Latest => usize::from(!in_time),
            CatchUp::All(most) => usize::from(most),
        };
        for passed_over in missed.iter().rev().skip(kept) {
            due.remove(passed_over);
        }
        due
    }

    /// Everything after `start` up to `end`.
    fn all(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
        let early = start - TimeDelta::days(2);
        let all: Vec<DateTime<Utc>> = match &self.meaning {
            Meaning::Every(every) => {
                let every = i64::try_from(every.as_secs()).unwrap();
                let numbers = early.timestamp() / every..=end.timestamp() / every;
                numbers.map(|number| DateTime::from_timestamp(number * every, 0).unwrap()).collect()
            }
            Meaning::Calendar(calendar) => self.on_the_wall(calendar, early, end),
        };
        let shifted = all.into_iter().map(|due| self.after_blackout(due));
        shifted.filter(|due| *due > start && *due <= end).collect()
    }

    fn on_the_wall(
        &self,
        calendar: &Calendar,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Vec<DateTime<Utc>> {
        let mut due = Vec::new();
        let days = start.date_naive().pred_opt().unwrap().iter_days();
        for day in days.take_while(|day| *day <= end.date_naive() + TimeDelta::days(1)) {
            if calendar.names(day) {
                for (hour, minute, second) in calendar.times() {
                    let shown = day.and_hms_opt(hour, minute, second).unwrap();
                    due.extend(self.moments(shown, calendar.is_fixed));
                }
            }
        }
        due
    }

    /// When a clock shows something: a fixed time runs once, right after the gap or at its first time; others as often as they are
    /// shown.
    fn moments(&self, shown: NaiveDateTime, is_fixed: bool) -> Vec<DateTime<Utc>> {
        let at = |at: DateTime<Tz>| at.with_timezone(&Utc);
        match self.schedule.timezone.from_local_datetime(&shown) {
            MappedLocalTime::Single(once) => vec![at(once)],
            MappedLocalTime::Ambiguous(first, _) if is_fixed => vec![at(first)],
            MappedLocalTime::Ambiguous(first, second) => vec![at(first), at(second)],
            MappedLocalTime::None if is_fixed => {
                let mut later = shown.with_second(0).unwrap();
                loop {
                    later += TimeDelta::minutes(1);
                    if let Some(end) = self.schedule.timezone.from_local_datetime(&later).earliest() {
                        return vec![at(end)];
                    }
                }
            }
            MappedLocalTime::None => Vec::new(),
        }
    }

    /// No blackout of these cases has midnight or a change of the clock in it.
    fn after_blackout(&self, due: DateTime<Utc>) -> DateTime<Utc> {
        let shown = due.with_timezone(&self.schedule.timezone);
        let clock = shown.format("%H:%M").to_string();
        let day = shown.format("%a").to_string().to_lowercase();
        for Blackout { from, until, days } in &self.schedule.blackouts {
            let is_day = days.is_empty() || days.iter().any(|named| named.as_str() == day);
            if is_day && clock >= from.to_string() && clock < until.to_string() {
                let (hour, minute) = until
                    .to_string()
                    .split_once(':')
                    .map(|(h, m)| (h.parse().unwrap(), m.parse().unwrap()))
                    .unwrap();
                let end = shown.date_naive().and_hms_opt(hour, minute, 0).unwrap();
                return self.schedule.timezone.from_local_datetime(&end).unwrap().with_timezone(&Utc);
            }
        }
        due
    }
}

impl Calendar {
    /// Whether a day is meant.
    fn names(&self, date: NaiveDate) -> bool {
        let day = self.days.as_ref().map(|days| days.contains(&date.day()));
        let weekday = date.weekday().num_days_from_sunday();
        let weekday = self.weekdays.as_ref().map(|days| days.contains(&weekday));
        match (day, weekday) {
            (Some(day), Some(weekday)) => day || weekday,
            (day, weekday) => day.or(weekday).unwrap_or(true),
        }
    }

    /// Every time of such a day.
    fn times(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let minutes = |hour: &u32| self.minutes.iter().map(|minute| (*hour, *minute)).collect::<Vec<_>>();
        let seconds = |(hour, minute)| self.seconds.iter().map(move |second| (hour, minute, *second));
        self.hours.iter().flat_map(minutes).flat_map(seconds)
    }
}

fn any_when(dice: &mut StdRng) -> (When, Meaning) {
    let minute = dice.random_range(0..4) * 15;
    // Half of them at hours in which clocks are set.
    let hour = if dice.random() { dice.random_range(0..4) } else { dice.random_range(0..24) };
    let at = Calendar::at(hour, minute);
    let all_hours: Vec<u32> = (0..24).collect();
    let (text, calendar) = match dice.random_range(0..12) {
        0..=3 => (format!("{minute} {hour} * * *"), at),
        4 => {
            let weekday = dice.random_range(0..7);
            (format!("{minute} {hour} * * {weekday}"), Calendar { weekdays: Some(vec![weekday]), ..at })
        }
        5 => {
            let day = dice.random_range(1..29);
            (format!("{minute} {hour} {day} * *"), Calendar { days: Some(vec![day]), ..at })
        }
        6 => (
            format!("0 {hour} 1,15 * MON"),
            Calendar { days: Some(vec![1, 15]), weekdays: Some(vec![1]), ..Calendar::at(hour, 0) },
        ),
        7 => (format!("{minute} * * * *"), Calendar { hours: all_hours, is_fixed: false, ..at }),
        8 => (format!("0,30 {hour} * * *"), Calendar { minutes: vec![0, 30], is_fixed: false, ..at }),
        9 => (
            String::from("*/15 1-3 * * *"),
            Calendar { minutes: vec![0, 15, 30, 45], hours: vec![1, 2, 3], is_fixed: false, ..at },
        ),
        10 => {
            let second = *[15, 45].choose(dice).unwrap();
            (format!("{second} {minute} {hour} * * *"), Calendar { seconds: vec![second], ..at })
        }
        _ => {
            if dice.random_bool(0.4) {
                let minutes = *[60, 90, 360, 420, 2160].choose(dice).unwrap();
                let every = Duration::from_mins(minutes);
                return (When::Every(every), Meaning::Every(every));
            }
            let midnight = Calendar::at(0, 0);
            match dice.random_range(0..3) {
                0 => ("@daily".to_owned(), midnight),
                1 => ("@weekly".to_owned(), Calendar { weekdays: Some(vec![0]), ..midnight }),
                _ => ("@monthly".to_owned(), Calendar { days: Some(vec![1]), ..midnight }),
            }
        }
    };
    (When::Cron(text.parse().unwrap()), Meaning::Calendar(calendar))
}
