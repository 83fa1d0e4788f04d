//! What the rollups say of a period: how many backups succeed, how fast they are, and what they take.

use serde::Serialize;

use crate::db::recovery::Gap;
use crate::db::rollup::Slice;
use crate::duration_class::Histogram;
use crate::job::JobName;
use crate::task::{Outcome, TaskKind};

/// What is made of the rollups of a period. What cannot be said, because nothing happened that it would be about, is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Attempts to back up that succeeded or failed, reported ones too. One that a person cancelled, or that was lost with its worker,
    /// says nothing about either. Each attempt counts, because a backup that succeeds at its third try is worth knowing about.
    pub backups: u64,
    /// The share of these that succeeded, warnings included, 0 to 1.
    pub success_rate: Option<f64>,
    /// Bytes of their sources that successful backups of ours went through in a second of their own time.
    pub throughput: Option<f64>,
    /// Bytes of the sources of successful backups of ours.
    pub source_bytes: u64,
    /// Bytes that backups and copies stored in addition; what a retention frees is not taken off.
    pub storage_growth: u64,
    /// How many bytes of its source one byte is that a successful backup of ours stored in addition.
    pub dedup_ratio: Option<f64>,
    /// How long successful backups of ours took.
    #[serde(flatten)]
    pub durations: Durations,
}

/// Percentiles of durations in seconds, to within 5 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Durations {
    /// Half of them took no longer.
    pub p50_seconds: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_seconds: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_seconds: Option<f64>,
}

impl Figures {
    /// Makes the figures.
    #[must_use]
    pub fn of(slices: &[Slice]) -> Self {
        let told = slices.iter().filter(|slice| slice.kind.tells_of_a_backup());
        let (mut good, mut bad) = (0, 0);
        for slice in told {
            match slice.outcome {
                Outcome::Success | Outcome::Warning => good += slice.count,
                Outcome::Failed | Outcome::TimedOut => bad += slice.count,
                Outcome::Cancelled | Outcome::Lost => {}
            }
        }
        let ours = || {
            let succeeded = |slice: &&Slice| matches!(slice.outcome, Outcome::Success | Outcome::Warning);
            slices.iter().filter(|slice| slice.kind == TaskKind::Backup).filter(succeeded)
        };
        let seconds: f64 = ours().map(|slice| slice.seconds).sum();
        let source_bytes = sum(ours().map(|slice| slice.bytes));
        let added = sum(ours().map(|slice| slice.bytes_added));
        let storing = slices.iter().filter(|slice| matches!(slice.kind, TaskKind::Backup | TaskKind::Copy));
        let mut histogram = Histogram::default();
        for slice in ours() {
            histogram.add(slice.class, slice.count);
        }
        Self {
            backups: good + bad,
            success_rate: ratio(good as f64, (good + bad) as f64),
            throughput: ratio(source_bytes as f64, seconds),
            source_bytes,
            storage_growth: sum(storing.map(|slice| slice.bytes_added)),
            dedup_ratio: ratio(source_bytes as f64, added as f64),
            durations: Durations {
                p50_seconds: histogram.percentile(0.5),
                p95_seconds: histogram.percentile(0.95),
                p99_seconds: histogram.percentile(0.99),
            },
        }
    }
}

impl Figures {
    /// Those of [`Figures::backups`] that succeeded, warnings included.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let succeeded = (self.success_rate.unwrap_or_default() * self.backups as f64).round() as u64;
        succeeded
    }
}

/// How much of its newest data the job could have lost that was worst off.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RecoveryPoints {
    /// Active jobs that had no restore point at all: none is worse off.
    pub without: usize,
    /// So much the worst of the others could have lost, in seconds; `None` where no job has a restore point.
    pub worst_seconds: Option<f64>,
    /// Which job.
    pub worst_job: Option<JobName>,
    /// Active jobs that could never have lost more than their objective.
    pub kept: usize,
    /// All active jobs.
    pub jobs: usize,
}

impl RecoveryPoints {
    /// Looks for the worst; a job without a restore point keeps nothing.
    #[must_use]
    pub fn of(gaps: &[Gap]) -> Self {
        let kept = gaps.iter().filter(|gap| gap.is_kept()).count();
        let known = gaps.iter().filter_map(|gap| Some((gap.seconds?, gap.job.clone())));
        let (worst_seconds, worst_job) = known.max_by(|(one, _), (other, _)| one.total_cmp(other)).unzip();
        let without = gaps.iter().filter(|gap| gap.seconds.is_none()).count();
        Self { without, worst_seconds, worst_job, kept, jobs: gaps.len() }
    }
}

/// Nothing to divide by says nothing.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::duration_class::DurationClass;

    use super::*;

    fn slice(kind: TaskKind, outcome: Outcome, count: u64) -> Slice {
        let class = DurationClass(70);
        Slice { kind, outcome, class, count, seconds: 2.0, bytes: 1_000, bytes_added: 100 }
    }

    #[test]
    fn warnings_succeed_and_what_was_cancelled_or_lost_is_left_out() {
        let backups = |outcome, count| slice(TaskKind::Backup, outcome, count);
        let figures = Figures::of(&[
            backups(Outcome::Success, 2),
            backups(Outcome::Warning, 1),
            backups(Outcome::Failed, 1),
            backups(Outcome::Cancelled, 9),
            backups(Outcome::Lost, 9),
        ]);
        assert_eq!((figures.backups, figures.success_rate), (4, Some(0.75)));
    }

    #[test]
    fn a_reported_backup_counts_and_a_check_does_not() {
        let figures = Figures::of(&[
            slice(TaskKind::Backup, Outcome::Success, 1),
            slice(TaskKind::Record, Outcome::Failed, 1),
            slice(TaskKind::Verify, Outcome::Failed, 1),
        ]);
        assert_eq!(figures.success_rate, Some(0.5));
    }

    #[test]
    fn speed_and_ratio_are_of_our_own_successful_backups_and_growth_is_of_copies_too() {
        let figures = Figures::of(&[
            slice(TaskKind::Backup, Outcome::Success, 3),
            slice(TaskKind::Backup, Outcome::Failed, 1),
            slice(TaskKind::Record, Outcome::Success, 1),
            slice(TaskKind::Copy, Outcome::Success, 1),
        ]);
        assert_eq!((figures.throughput, figures.dedup_ratio), (Some(500.0), Some(10.0)));
        assert_eq!((figures.source_bytes, figures.storage_growth), (1_000, 300));
    }

    #[test]
    fn of_nothing_nothing_is_said() {
        assert_eq!(Figures::of(&[]), Figures::default());
        let stored_nothing = Slice { bytes_added: 0, ..slice(TaskKind::Backup, Outcome::Success, 1) };
        assert_eq!(Figures::of(&[stored_nothing]).dedup_ratio, None);
    }

    #[test]
    fn the_worst_job_is_named_and_one_without_a_restore_point_keeps_nothing() {
        let gap =
            |job: &str, seconds| Gap { job: job.parse().unwrap(), rpo: Duration::from_secs(100), seconds };
        let points = RecoveryPoints::of(&[gap("a", Some(100.0)), gap("b", Some(100.5)), gap("c", None)]);
        assert_eq!((points.kept, points.without, points.jobs), (1, 1, 3));
        assert_eq!((points.worst_seconds, points.worst_job), (Some(100.5), Some("b".parse().unwrap())));
        assert_eq!(RecoveryPoints::of(&[]), RecoveryPoints::default());
    }
}
