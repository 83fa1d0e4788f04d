use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use shared::db::execution::Volume;
use shared::job::JobId;
use shared::target::TargetId;
use shared::task::TaskId;
use uuid::Uuid;

use super::*;

const BERLIN: Tz = chrono_tz::Europe::Berlin;

/// A restore point with a snapshot of its own.
fn point(number: u128, data_time: DateTime<Utc>, source_errors: u64) -> RestorePoint {
    RestorePoint {
        id: RestorePointId(Uuid::from_u128(number)),
        job: JobId(1),
        target: TargetId(1),
        snapshot: format!("snapshot {number}"),
        data_time,
        seconds: 1.0,
        volume: Volume { source_errors, ..Volume::default() },
        copied_from: None,
        manifest: None,
        task: TaskId(Uuid::nil()),
        reported: false,
    }
}

fn points(times: &[&str]) -> Vec<RestorePoint> {
    times.iter().zip(1..).map(|(time, number)| point(number, time.parse().unwrap(), 0)).collect()
}

fn retention(keep: &[(Keep, u16)], timezone: Tz) -> Retention {
    let keep = keep.iter().map(|(rule, count)| (*rule, (*count).try_into().unwrap())).collect();
    Retention { keep, timezone, schedule: None }
}

/// The times of what is kept when every snapshot is there and no task names one.
fn kept_of(points: &[RestorePoint], retention: &Retention) -> Vec<String> {
    let forgotten = forgettable(retention, points, &BTreeSet::new(), &all(points));
    let kept = points.iter().filter(|point| !forgotten.contains(point));
    kept.map(|point| point.data_time.format("%m-%dT%H:%M").to_string()).collect()
}

fn all(points: &[RestorePoint]) -> BTreeSet<&str> {
    points.iter().map(|point| point.snapshot.as_str()).collect()
}

#[test]
fn a_day_begins_by_the_clock_of_the_time_zone() {
    let points = points(&["2026-03-01T22:30:00Z", "2026-03-01T23:30:00Z", "2026-03-02T20:00:00Z"]);
    let daily = |timezone| kept_of(&points, &retention(&[(Keep::Daily, 9)], timezone));
    assert_eq!(daily(Tz::UTC), ["03-01T23:30", "03-02T20:00"]);
    assert_eq!(daily(BERLIN), ["03-01T22:30", "03-02T20:00"]);
}

#[test]
fn the_hour_that_comes_twice_in_autumn_is_two_hours() {
    let points = points(&["2026-10-25T00:10:00Z", "2026-10-25T01:10:00Z", "2026-10-25T02:10:00Z"]);
    assert_eq!(kept_of(&points, &retention(&[(Keep::Hourly, 9)], BERLIN)).len(), 3);
}

#[test]
fn a_week_that_lies_in_two_years_is_one_week() {
    let points = points(&["2024-12-29T12:00:00Z", "2024-12-30T12:00:00Z", "2025-01-05T12:00:00Z"]);
    let kept = kept_of(&points, &retention(&[(Keep::Weekly, 9)], Tz::UTC));
    assert_eq!(kept, ["12-29T12:00", "01-05T12:00"]);
}

#[test]
fn periods_without_a_restore_point_do_not_count() {
    let points = points(&["2025-01-01T00:00:00Z", "2025-06-01T00:00:00Z", "2026-01-01T00:00:00Z"]);
    assert_eq!(kept_of(&points, &retention(&[(Keep::Daily, 2)], Tz::UTC)), ["06-01T00:00", "01-01T00:00"]);
}

#[test]
fn a_complete_restore_point_is_kept_behind_any_number_of_incomplete_ones() {
    let at = |day: i64| DateTime::UNIX_EPOCH + TimeDelta::days(day);
    let mut points: Vec<_> = (0..9).zip(1..).map(|(day, number)| point(number, at(day), 1)).collect();
    points[2].volume.source_errors = 0;
    let kept = kept_of(&points, &retention(&[(Keep::Last, 2)], Tz::UTC));
    assert_eq!(kept, ["01-03T00:00", "01-08T00:00", "01-09T00:00"]);
}

#[test]
fn what_is_gone_already_is_forgotten_and_takes_no_place_of_what_is_there() {
    let points = points(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]);
    let forgotten = |there: &[usize]| {
        let there = there.iter().map(|at| points[*at].snapshot.as_str()).collect();
        let retention = retention(&[(Keep::Last, 1)], Tz::UTC);
        let forgotten = forgettable(&retention, &points, &BTreeSet::new(), &there);
        forgotten.iter().map(|point| point.id.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(forgotten(&[2]), [1, 2], "a worker that was killed had removed both");
    assert_eq!(
        forgotten(&[0, 1]),
        [1],
        "the newest is missing: it stays on record, and the one before it is kept"
    );
    assert_eq!(forgotten(&[0]), [2], "the only one that is there is kept");
    assert_eq!(forgotten(&[]), [1, 2]);
}

#[test]
fn of_two_restore_points_that_are_one_snapshot_none_goes_without_the_other() {
    let mut points = points(&["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]);
    points[1].snapshot = points[0].snapshot.clone();
    assert_eq!(kept_of(&points, &retention(&[(Keep::Last, 2)], Tz::UTC)).len(), 3);
    assert_eq!(kept_of(&points, &retention(&[(Keep::Last, 1)], Tz::UTC)).len(), 1);
}

/// Restore points within three years, some at the same moment, some incomplete.
fn any_points() -> impl Strategy<Value = Vec<RestorePoint>> {
    let moment = prop_oneof![0..3 * 365 * 24 * 60_i64, 0..3 * 24 * 60_i64];
    prop::collection::vec((moment, 0..3_u64), 0..40).prop_map(|points| {
        let begin: DateTime<Utc> = "2024-11-01T00:00:00Z".parse().unwrap();
        let point = |((minute, errors), number): ((i64, u64), u128)| {
            point(number, begin + TimeDelta::minutes(minute), errors.saturating_sub(1))
        };
        points.into_iter().zip(1..).map(point).collect()
    })
}

fn any_retention() -> impl Strategy<Value = Retention> {
    let timezones = [Tz::UTC, BERLIN, chrono_tz::Asia::Kathmandu, chrono_tz::America::Los_Angeles];
    let keep = prop::collection::vec((prop::sample::select(Keep::ALL), 1..6_u16), 1..4);
    (keep, prop::sample::select(timezones.to_vec())).prop_map(|(keep, timezone)| retention(&keep, timezone))
}

/// Whether a rule keeps a restore point, said in another way than the code says it: it is the newest of its period, and fewer
/// periods than the rule keeps come after that.
fn keeps(rule: Keep, count: u16, timezone: Tz, points: &[RestorePoint], point: &RestorePoint) -> bool {
    let period = |point: &RestorePoint| {
        let format = match rule {
            Keep::Last => return point.snapshot.clone(),
            Keep::Hourly => "%Y-%m-%d %H %z",
            Keep::Daily => "%Y-%m-%d",
            Keep::Weekly => "%G-%V",
            Keep::Monthly => "%Y-%m",
            Keep::Yearly => "%Y",
        };
        point.data_time.with_timezone(&timezone).format(format).to_string()
    };
    let newer = points.iter().filter(|other| (other.data_time, other.id) > (point.data_time, point.id));
    let periods: BTreeSet<String> = newer.map(period).collect();
    !periods.contains(&period(point)) && periods.len() < usize::from(count)
}

proptest! {
    #[test]
    fn exactly_what_a_rule_keeps_is_kept_beside_what_is_never_forgotten(
        points in any_points(), retention in any_retention(), named in prop::collection::btree_set(1..40_u128, 0..4)
    ) {
        let named: BTreeSet<_> = named.into_iter().map(|id| RestorePointId(Uuid::from_u128(id))).collect();
        let forgotten = forgettable(&retention, &points, &named, &all(&points));
        let newest = |complete: bool| {
            let points = points.iter().filter(|point| !complete || point.volume.source_errors == 0);
            points.max_by_key(|point| (point.data_time, point.id))
        };
        for point in &points {
            let by_rule = retention.keep.iter().any(|(rule, count)| {
                keeps(*rule, count.get(), retention.timezone, &points, point)
            });
            let never = newest(false) == Some(point) || newest(true) == Some(point) || named.contains(&point.id);
            prop_assert_eq!(!forgotten.contains(&point), by_rule || never, "{:?}", point);
        }
    }

    #[test]
    fn whatever_is_there_of_all_the_newest_and_the_newest_complete_one_that_are_there_are_kept(
        points in any_points(), retention in any_retention(), gone in prop::collection::btree_set(1..40_u128, 0..40)
    ) {
        let is_there = |point: &&RestorePoint| !gone.contains(&point.id.0.as_u128());
        let there: BTreeSet<&str> = points.iter().filter(is_there).map(|point| point.snapshot.as_str()).collect();
        let forgotten = forgettable(&retention, &points, &BTreeSet::new(), &there);
        for complete in [false, true] {
            let candidates = points.iter().filter(is_there).filter(|point| !complete || point.volume.source_errors == 0);
            if let Some(newest) = candidates.max_by_key(|point| (point.data_time, point.id)) {
                prop_assert!(!forgotten.contains(&newest));
            }
        }
        // As if everything were there, no more than that is forgotten.
        let at_most = forgettable(&retention, &points, &BTreeSet::new(), &all(&points));
        prop_assert!(forgotten.iter().all(|point| at_most.contains(point)));
    }

    #[test]
    fn what_was_kept_once_is_kept_again(points in any_points(), retention in any_retention()) {
        let forgotten = forgettable(&retention, &points, &BTreeSet::new(), &all(&points));
        let kept: Vec<RestorePoint> = points.iter().filter(|point| !forgotten.contains(point)).cloned().collect();
        prop_assert!(forgettable(&retention, &kept, &BTreeSet::new(), &all(&kept)).is_empty());
    }

    #[test]
    fn whoever_asks_to_keep_more_keeps_no_less(points in any_points(), retention in any_retention()) {
        let mut more = retention.clone();
        for count in more.keep.values_mut() {
            *count = count.saturating_add(1);
        }
        let forgotten = forgettable(&retention, &points, &BTreeSet::new(), &all(&points));
        let of_more = forgettable(&more, &points, &BTreeSet::new(), &all(&points));
        prop_assert!(of_more.iter().all(|point| forgotten.contains(point)));
    }
}
