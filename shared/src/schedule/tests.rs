use chrono::NaiveDate;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(text: &str, timezone: Tz) -> Schedule {
    Schedule::new(When::Cron(text.parse().unwrap()), timezone)
}

fn every(seconds: u64) -> Schedule {
    Schedule::new(When::Every(Duration::from_secs(seconds)), Tz::UTC)
}

/// The next due times, by the clock of the schedule.
fn next(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let times = std::iter::successors(schedule.next(at(after)), |due| schedule.next(*due));
    times.take(count).map(|due| due.with_timezone(&schedule.timezone).to_rfc3339()).collect()
}

fn blackout(from: &str, until: &str, days: &[Day]) -> Blackout {
    Blackout { from: from.parse().unwrap(), until: until.parse().unwrap(), days: days.to_vec() }
}

#[test]
fn a_calendar_goes_by_the_clock_of_its_zone() {
    assert_eq!(
        next(&cron("30 2 * * *", Tz::Europe__Berlin), "2026-06-01T00:00:00Z", 2),
        ["2026-06-01T02:30:00+02:00", "2026-06-02T02:30:00+02:00"]
    );
    assert_eq!(
        next(&cron("15 0 3 * * MON", Tz::America__New_York), "2026-01-01T00:00:00Z", 1),
        ["2026-01-05T03:00:15-05:00"]
    );
    assert_eq!(next(&cron("@daily", Tz::UTC), "2026-01-01T00:00:00Z", 1), ["2026-01-02T00:00:00+00:00"]);
}

#[test]
fn a_fixed_time_in_the_gap_is_right_after_it_and_one_in_the_overlap_is_there_once() {
    // Berlin: 02:00 to 03:00 is missing on 2026-03-29, and there twice on 2026-10-25.
    let nightly = cron("30 2 * * *", Tz::Europe__Berlin);
    assert_eq!(
        next(&nightly, "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(
        next(&nightly, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
}

#[test]
fn a_wildcard_comes_as_often_as_the_clock_shows_it() {
    let hourly = cron("30 * * * *", Tz::Europe__Berlin);
    assert_eq!(
        next(&hourly, "2026-10-25T00:00:00Z", 3),
        ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"]
    );
    assert_eq!(
        next(&hourly, "2026-03-29T00:00:00Z", 2),
        ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"]
    );
}

#[test]
fn an_interval_counts_from_1970_whatever_the_clock_does() {
    assert_eq!(
        next(&every(6 * 3600), "2026-03-29T00:00:00Z", 2),
        ["2026-03-29T06:00:00+00:00", "2026-03-29T12:00:00+00:00"]
    );
    assert_eq!(next(&every(90), "2026-01-01T00:00:30Z", 1), ["2026-01-01T00:01:30+00:00"]);
}

#[test]
fn what_falls_into_a_blackout_is_due_once_at_its_end() {
    let hourly = Schedule { blackouts: vec![blackout("22:00", "06:00", &[])], ..every(3600) };
    assert_eq!(
        next(&hourly, "2026-01-01T20:30:00Z", 4),
        [
            "2026-01-01T21:00:00+00:00",
            "2026-01-02T06:00:00+00:00",
            "2026-01-02T07:00:00+00:00",
            "2026-01-02T08:00:00+00:00",
        ]
    );
    // Asked in its midst it says the same, and where nothing falls into it nothing is due at its end.
    assert_eq!(next(&hourly, "2026-01-02T03:00:00Z", 1), ["2026-01-02T06:00:00+00:00"]);
    let noon = Schedule { blackouts: hourly.blackouts, ..cron("0 12 * * *", Tz::UTC) };
    assert_eq!(next(&noon, "2026-01-02T03:00:00Z", 1), ["2026-01-02T12:00:00+00:00"]);
}

#[test]
fn blackouts_that_follow_each_other_are_one() {
    let weekend = [
        blackout("00:00", "00:00", &[Day::Saturday, Day::Sunday]),
        blackout("00:00", "05:00", &[Day::Monday]),
    ];
    let nightly = Schedule { blackouts: weekend.to_vec(), ..cron("0 2 * * *", Tz::UTC) };
    // The 3rd of January 2026 is a Saturday.
    assert_eq!(
        next(&nightly, "2026-01-02T00:00:00Z", 3),
        ["2026-01-02T02:00:00+00:00", "2026-01-05T05:00:00+00:00", "2026-01-06T02:00:00+00:00"]
    );
    let never = Schedule { blackouts: vec![blackout("00:00", "00:00", &[])], ..nightly };
    assert_eq!(never.next(at("2026-01-02T00:00:00Z")), None);
}

#[test]
fn what_was_missed_is_caught_up_as_the_schedule_says_and_what_is_in_time_is_done_in_any_case() {
    let tick = |catch_up, first: &str, now: &str| {
        let tick = Schedule { catch_up, ..every(3600) }.tick(at(first), at(now));
        let due = tick.due.iter().map(|due| due.format("%H:%M").to_string());
        (due.collect::<Vec<_>>().join(" "), tick.next.unwrap().format("%H:%M").to_string())
    };
    let (first, now) = ("2026-01-01T02:00:00Z", "2026-01-01T08:30:00Z");
    assert_eq!(tick(CatchUp::None, first, now), (String::new(), "09:00".to_owned()));
    assert_eq!(tick(CatchUp::Latest, first, now), ("08:00".to_owned(), "09:00".to_owned()));
    assert_eq!(tick(CatchUp::All(3), first, now), ("06:00 07:00 08:00".to_owned(), "09:00".to_owned()));
    assert_eq!(tick(CatchUp::All(100), first, now).0, "02:00 03:00 04:00 05:00 06:00 07:00 08:00");
    let in_time = "2026-01-01T08:00:30Z";
    assert_eq!(tick(CatchUp::None, first, in_time).0, "08:00");
    assert_eq!(tick(CatchUp::Latest, first, in_time).0, "08:00");
    assert_eq!(tick(CatchUp::All(1), first, in_time).0, "07:00 08:00");
    // Nothing is due before its time.
    assert_eq!(tick(CatchUp::All(100), first, "2026-01-01T01:59:59Z"), (String::new(), "02:00".to_owned()));
}

#[test]
fn a_month_of_seconds_is_caught_up_without_a_look_at_each() {
    let seconds =
        Schedule { catch_up: CatchUp::All(2), blackouts: vec![blackout("01:00", "23:00", &[])], ..every(1) };
    let tick = seconds.tick(at("2026-01-01T00:00:00Z"), at("2026-02-01T12:00:00Z"));
    assert_eq!(tick.due, [at("2026-02-01T00:59:58Z"), at("2026-02-01T00:59:59Z")]);
    assert_eq!(tick.next, Some(at("2026-02-01T23:00:00Z")));
}

#[test]
fn jitter_is_the_same_each_time_and_evenly_spread() {
    let schedule = Schedule { jitter: Duration::from_mins(5), ..every(3600) };
    let delays: Vec<Duration> = (0..1000).map(|job| schedule.delay(&format!("job-{job}"))).collect();
    assert_eq!(delays[7], schedule.delay("job-7"));
    assert!(delays.iter().all(|delay| *delay < schedule.jitter));
    let early = delays.iter().filter(|delay| **delay < schedule.jitter / 2).count();
    assert!((400..600).contains(&early), "{early} of 1000 in the first half");
    assert_eq!(every(3600).delay("job-7"), Duration::ZERO);
}

#[test]
fn expressions_that_say_nothing_are_refused() {
    for text in ["", "* * *", "61 * * * *", "0 0 30 2 *", "0 0 0 1 1 * 2030", "@sometimes", "0 2 * * FOO"] {
        let error = text.parse::<Cron>().unwrap_err();
        assert!(error.to_string().contains("no cron expression"), "{error}");
    }
    assert!("25:00".parse::<ClockTime>().is_err());
    assert!("x".repeat(300).parse::<Cron>().is_err());
}

#[test]
fn a_schedule_is_kept_as_it_was_written() {
    let schedule = Schedule {
        catch_up: CatchUp::All(5),
        jitter: Duration::from_mins(5),
        overlap: Overlap::Queue,
        blackouts: vec![blackout("08:00", "18:00", &[Day::Monday])],
        ..cron("0 2 * * *", Tz::Europe__Berlin)
    };
    let json = serde_json::to_value(&schedule).unwrap();
    assert_eq!(json["cron"], "0 2 * * *");
    assert_eq!(json["timezone"], "Europe/Berlin");
    assert_eq!(serde_json::from_value::<Schedule>(json).unwrap(), schedule);
}

#[test]
fn the_longest_gap_of_workdays_is_the_weekend() {
    let workdays = cron("0 2 * * 1-5", Tz::UTC);
    assert_eq!(workdays.longest_gap(at("2026-01-01T00:00:00Z")), Some(TimeDelta::days(3)));
    let date = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    assert_eq!(
        every(3600).longest_gap(date.and_time(chrono::NaiveTime::MIN).and_utc()),
        Some(TimeDelta::hours(1))
    );
}

#[test]
fn time_goes_on_wherever_within_a_second_one_asks_while_clocks_are_set() {
    let zones = [
        (Tz::Europe__Berlin, "2026-10-25T01:00:00Z"),
        (Tz::Africa__Cairo, "2026-10-29T21:00:00Z"),
        (Tz::America__Havana, "2026-11-01T05:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-10-03T15:30:00Z"),
    ];
    for (zone, set) in zones {
        for text in ["0 * * * *", "30 * * * *", "*/15 1-3 * * *", "0 0 * * *", "30 2 * * *"] {
            let schedule = cron(text, zone);
            for minutes in -8..8 {
                for before in [-1, 0, 1, 999_999_999] {
                    let moment = at(set) + TimeDelta::minutes(15 * minutes) - TimeDelta::nanoseconds(before);
                    let previous = schedule.when.previous(moment, zone).unwrap();
                    let next = schedule.next(moment).unwrap();
                    assert!(
                        previous <= moment && moment < next,
                        "{text} {zone} {moment}: {previous}, {next}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_longest_gap_of_what_comes_daily_is_found_where_the_clock_is_set_back() {
    let from = at("2026-01-01T00:00:00Z");
    for expression in ["30 2 * * *", "0 12 * * *", "59 23 * * *", "0 */6 * * *", "0 0 12 * * *"] {
        for zone in [Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York, Tz::Australia__Lord_Howe] {
            let daily = cron(expression, zone);
            assert!(daily.is_alike_each_day(), "{expression}");
            let year = daily.longest_gap_within(from, from + TimeDelta::days(366));
            assert_eq!(daily.longest_gap(from), year, "{expression} in {zone}");
        }
    }
    assert_eq!(cron("0 12 * * *", Tz::Europe__Berlin).longest_gap(from), Some(TimeDelta::hours(25)));
    let often = cron("*/20 8-17 * * *", Tz::Europe__Berlin);
    assert_eq!(often.longest_gap(from), Some(TimeDelta::minutes(14 * 60 + 20 + 60)));
    assert!(!cron("0 12 * * 1", Tz::UTC).is_alike_each_day());
}
