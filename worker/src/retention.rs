//! Which restore points of a job on one target its retention does not keep.
//!
//! A pure function. Beside what the rules keep, some restore points are never forgotten: the newest one, the newest one that
//! is complete, and those that a waiting or running task names.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, Offset as _, TimeZone, Timelike as _};
use shared::db::restore_point::RestorePoint;
use shared::retention::{Keep, Retention};
use shared::work::RestorePointId;

/// The restore points that are to be forgotten.
///
/// `named` are those that tasks still need, `there` the snapshots that the repository was seen to hold. Of what is not there
/// nothing can be restored, so the rules are also applied to the rest alone: they keep as many that are.
pub fn forgettable<'a>(
    retention: &Retention,
    points: &'a [RestorePoint],
    named: &BTreeSet<RestorePointId>,
    there: &BTreeSet<&str>,
) -> Vec<&'a RestorePoint> {
    let mut newest_first: Vec<&RestorePoint> = points.iter().collect();
    newest_first.sort_by_key(|point| std::cmp::Reverse((point.data_time, point.id)));
    let present = newest_first.iter().copied().filter(|point| there.contains(point.snapshot.as_str()));
    let mut kept = kept(retention, present);
    kept.extend(self::kept(retention, newest_first.iter().copied()));
    kept.extend(points.iter().filter(|point| named.contains(&point.id)).map(|point| point.snapshot.as_str()));
    // Two restore points may be one snapshot: a copy that was asked for twice.
    points.iter().filter(|point| !kept.contains(point.snapshot.as_str())).collect()
}

/// The snapshots that are kept of restore points, which come with the newest first.
fn kept<'a>(
    retention: &Retention,
    newest_first: impl Iterator<Item = &'a RestorePoint>,
) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let points: Vec<_> = newest_first.filter(|point| seen.insert(point.snapshot.as_str())).collect();
    let is_complete = |point: &&&RestorePoint| point.volume.source_errors == 0;
    let never_forgotten = points.first().into_iter().chain(points.iter().find(is_complete));
    let mut kept: BTreeSet<&str> = never_forgotten.map(|point| point.snapshot.as_str()).collect();
    for (rule, count) in &retention.keep {
        let (mut left, mut last) = (count.get(), None);
        for point in &points {
            let period = period(*rule, &point.data_time.with_timezone(&retention.timezone));
            if period.is_some() && period == last {
                continue;
            }
            if left == 0 {
                break;
            }
            (left, last) = (left - 1, period);
            kept.insert(&point.snapshot);
        }
    }
    kept
}

/// The period of the calendar in which a rule keeps one restore point; `None` where it keeps each.
fn period<Z: TimeZone>(rule: Keep, at: &DateTime<Z>) -> Option<(i32, u32, i32)> {
    match rule {
        Keep::Last => None,
        // The hour that comes twice in autumn is two hours.
        Keep::Hourly => Some((at.num_days_from_ce(), at.hour(), at.offset().fix().local_minus_utc())),
        Keep::Daily => Some((at.num_days_from_ce(), 0, 0)),
        Keep::Weekly => Some((at.iso_week().year(), at.iso_week().week(), 0)),
        Keep::Monthly => Some((at.year(), at.month(), 0)),
        Keep::Yearly => Some((at.year(), 0, 0)),
    }
}

#[cfg(test)]
mod tests;
