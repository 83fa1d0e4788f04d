//! What is unlike the usual: compared with the median of what was before, in spreads.
//!
//! The spread is 1.4826 times the median absolute deviation, which is the standard deviation where values are normally distributed
//! (Rousseeuw and Croux 1993), and which a few outliers do not move. It is a twentieth of the median at least, because the values
//! of what hardly ever changes have no spread.

use shared::alert::Rule;
use shared::db::job_health::JobHealth;

use super::super::finding::Finding;
use super::super::jobs::JobFacts;
use super::Context;

/// How many good backups must have been before anything can be unusual.
const FEWEST: usize = 5;
/// The ratio of the standard deviation and the median absolute deviation of a normal distribution.
const NORMAL: f64 = 1.4826;
/// The least spread, as a share of the median.
const LEAST_SPREAD: f64 = 0.05;

/// A last good backup that took unusually long, or short.
pub(super) fn duration(context: &Context<'_>, job: &JobFacts, health: &JobHealth) -> Option<Finding> {
    let setting = context.of_job(Rule::DurationUnusual, job)?;
    let (newest, before) = health.seconds.split_first()?;
    let median = deviates(*newest, before, setting.spreads)?;
    if (newest - median).abs() < setting.by.as_secs_f64() {
        return None;
    }
    let summary = format!("the last good backup of {} took {newest:.1} s; {median:.1} s are usual", job.name);
    Some(Finding::of_job(Rule::DurationUnusual, &setting, job, &summary))
}

/// A last good backup whose source is unusually large or small, or shrank.
pub(super) fn size(context: &Context<'_>, job: &JobFacts, health: &JobHealth) -> Option<Finding> {
    let setting = context.of_job(Rule::SizeUnusual, job)?;
    // Other systems need not say how large their backups are.
    let said = health.bytes.iter().filter(|bytes| **bytes > 0 || !job.is_reported);
    let sizes: Vec<f64> = said.map(|bytes| *bytes as f64).collect();
    let (newest, before) = sizes.split_first()?;
    let usual = usual(before)?.0;
    let shrank = usual > 0.0 && *newest <= usual * setting.shrunk_to;
    if !shrank && deviates(*newest, before, setting.spreads).is_none() {
        return None;
    }
    let summary = format!("the last good backup of {} has {newest:.0} bytes; {usual:.0} are usual", job.name);
    Some(Finding::of_job(Rule::SizeUnusual, &setting, job, &summary))
}

/// The median of what was before, if a value is more than so many spreads away from it.
fn deviates(newest: f64, before: &[f64], spreads: f64) -> Option<f64> {
    let (median, spread) = usual(before)?;
    ((newest - median).abs() > spreads * spread).then_some(median)
}

/// The median and the spread of some values; `None` where they are too few.
fn usual(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < FEWEST {
        return None;
    }
    let center = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    let spread = (NORMAL * median(&deviations)?).max(LEAST_SPREAD * center.abs());
    Some((center, spread))
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get((sorted.len() / 2).checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        for (values, expected) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 9.0], 3.0)] {
            assert!((median(&values).unwrap() - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn a_value_far_from_the_others_is_unusual_and_one_among_them_is_not() {
        let before = [100.0, 110.0, 95.0, 104.0, 99.0, 1000.0];
        assert!(deviates(1000.0, &before, 5.0).is_some());
        assert!(deviates(10.0, &before, 5.0).is_some());
        assert!(deviates(120.0, &before, 5.0).is_none());
    }

    #[test]
    fn what_never_changes_may_change_a_little() {
        let before = [100.0; 20];
        assert!(deviates(124.0, &before, 5.0).is_none());
        assert!(deviates(126.0, &before, 5.0).is_some());
    }

    #[test]
    fn nothing_is_unusual_before_anything_is_usual() {
        assert!(deviates(1e9, &[1.0; FEWEST - 1], 5.0).is_none());
        assert!(deviates(1e9, &[1.0; FEWEST], 5.0).is_some());
    }
}
