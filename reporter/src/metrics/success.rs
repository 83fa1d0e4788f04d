//! The share of backups that succeed, kept by the hour so that a month needs no query.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::gauge;
use shared::db::execution::Slice;
use shared::task::Outcome;

use super::SUCCESS_RATE;

/// The periods that are shown, in hours.
const PERIODS: [(&str, i64); 3] = [("day", 24), ("week", 7 * 24), ("month", 30 * 24)];
/// No period reaches further back, in hours.
const KEPT: i64 = 30 * 24;

/// Backup attempts by the hour of their end, and reported ones by the hour of their report.
///
/// Only backups, because probes and checks are many and would hide a backup that fails; each attempt, because a
/// backup that succeeds at its third try is worth knowing about. An attempt that a person cancelled, or that was
/// lost with its worker, says nothing about either.
#[derive(Debug, Default)]
pub(super) struct Success {
    hours: BTreeMap<DateTime<Utc>, Attempts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    good: u64,
    bad: u64,
}

impl Success {
    /// Takes counted attempts in.
    pub(super) fn add(&mut self, slice: &Slice) {
        if !slice.kind.tells_of_a_backup() {
            return;
        }
        let attempts = self.hours.entry(slice.hour).or_default();
        match slice.outcome {
            Outcome::Success | Outcome::Warning => attempts.good += slice.count,
            Outcome::Failed | Outcome::TimedOut => attempts.bad += slice.count,
            Outcome::Cancelled | Outcome::Lost => {}
        }
    }

    /// Sets the gauges, and forgets what no period reaches any more.
    pub(super) fn set(&mut self, now: DateTime<Utc>) {
        self.hours.retain(|hour, _| *hour > now - TimeDelta::hours(KEPT));
        for (period, hours) in PERIODS {
            if let Some(rate) = self.rate(now - TimeDelta::hours(hours)) {
                gauge!(SUCCESS_RATE, "period" => period).set(rate);
            }
        }
    }

    /// The share of the hours that began after `since`; `None` when there was nothing.
    fn rate(&self, since: DateTime<Utc>) -> Option<f64> {
        let sum =
            |sum: Attempts, hour: &Attempts| Attempts { good: sum.good + hour.good, bad: sum.bad + hour.bad };
        let Attempts { good, bad } = self
            .hours
            .iter()
            .filter(|(hour, _)| **hour > since)
            .map(|(_, attempts)| attempts)
            .fold(Attempts::default(), sum);
        (good + bad > 0).then(|| good as f64 / (good + bad) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::task::TaskKind;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3600, 0).unwrap()
    }

    fn with(slices: &[(i64, Outcome, u64)]) -> Success {
        let mut success = Success::default();
        for &(hour, outcome, count) in slices {
            let kind = TaskKind::Backup;
            success.add(&Slice { kind, outcome, hour: at(hour), count, mean_seconds: 1.0, bytes: 0 });
        }
        success
    }

    #[test]
    fn warnings_succeed_and_what_was_cancelled_or_lost_is_left_out() {
        let success = with(&[
            (1, Outcome::Success, 2),
            (1, Outcome::Warning, 1),
            (2, Outcome::Failed, 1),
            (2, Outcome::Cancelled, 9),
            (2, Outcome::Lost, 9),
        ]);
        assert_eq!(success.rate(at(0)), Some(0.75));
    }

    #[test]
    fn a_reported_backup_counts_and_a_check_does_not() {
        let mut success = Success::default();
        for (kind, outcome) in [
            (TaskKind::Backup, Outcome::Success),
            (TaskKind::Record, Outcome::Failed),
            (TaskKind::Verify, Outcome::Failed),
        ] {
            success.add(&Slice { kind, outcome, hour: at(1), count: 1, mean_seconds: 1.0, bytes: 0 });
        }
        assert_eq!(success.rate(at(0)), Some(0.5));
    }

    #[test]
    fn nothing_at_all_has_no_rate() {
        assert_eq!(with(&[(1, Outcome::Cancelled, 1)]).rate(at(0)), None);
    }

    #[test]
    fn an_hour_that_began_before_the_period_is_left_out() {
        let success = with(&[(1, Outcome::Failed, 1), (2, Outcome::Success, 1)]);
        assert_eq!(success.rate(at(1)), Some(1.0));
    }

    #[test]
    fn what_no_period_reaches_is_forgotten() {
        let mut success = with(&[(1, Outcome::Failed, 1), (2, Outcome::Success, 1)]);
        success.set(at(1 + KEPT));
        assert_eq!(success.hours.len(), 1);
    }
}
