//! The daily, weekly and monthly report: what a period of backups came to, against the one before, and which jobs are worst off.

mod alerts;
mod document;
mod jobs;
mod sections;
mod trouble;

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use deadpool_postgres::Transaction;
use serde::Serialize;
use shared::alert::{Rule, Settings};
use shared::db::recovery::Restores;
use shared::db::rollup::Slice;
use shared::db::rollup::period::{self, Which};
use shared::db::{self, alert_setting, compliance_hour, dead_task, execution, recovery};
use shared::figures::{Figures, RecoveryPoints};
use shared::job::JobId;
use shared::task::{Outcome, TaskKind};
use shared::work::{ReportKind, Span};

use super::facts::Head;
use super::standing::{self, Counts, Coverage, Subjects};
use alerts::Alerts;
pub(super) use jobs::JobRow;
use trouble::Trouble;

/// A trend of fewer days says nothing: it begins before the period then.
const SHORTEST_TREND: u64 = 14;
/// More bars than these would not be told apart: each is a week then.
const MOST_BARS: usize = 62;
/// No more attempts that did not succeed are listed than these, the newest first; the rest is counted.
const TROUBLED_LISTED: i64 = 100;

/// What the report says.
#[derive(Debug, Serialize)]
pub(super) struct Activity {
    #[serde(flatten)]
    pub(super) head: Head,
    /// How the active jobs stand now.
    standing: Counts,
    /// The mean share of the active jobs that complied in the period and before it, 0 to 1; of all jobs only.
    compliance_mean: Option<f64>,
    compliance_mean_before: Option<f64>,
    /// Below this share of successes the rule `success_rate` of alerts finds too few.
    success_rate_demanded: f64,
    figures: Figures,
    figures_before: Figures,
    recovery_points: RecoveryPoints,
    restores: RestoreTimes,
    verified: Coverage,
    alerts: Alerts,
    /// Tasks that nobody has decided about yet, of all jobs.
    dead_tasks: i64,
    /// The days, or weeks by their first day, of the period and where it is short also before it.
    trend: Vec<Step>,
    attempts: Vec<Tally>,
    /// The jobs that are worst off first.
    jobs: Vec<JobRow>,
    /// Attempts that somebody should look at: of a daily report only.
    troubled: Vec<Trouble>,
    troubled_total: u64,
}

#[derive(Debug, Serialize)]
struct RestoreTimes {
    count: u64,
    longest_seconds: Option<f64>,
    p95_seconds: Option<f64>,
}

/// A day, or several.
#[derive(Debug, Serialize)]
struct Step {
    from: NaiveDate,
    #[serde(flatten)]
    figures: StepFigures,
    /// The mean share of the active jobs that complied, 0 to 1.
    compliance_mean: Option<f64>,
}

#[derive(Debug, Serialize)]
struct StepFigures {
    backups: u64,
    success_rate: Option<f64>,
    source_bytes: u64,
    storage_growth: u64,
}

/// Attempts of one kind and outcome.
#[derive(Debug, Serialize)]
struct Tally {
    kind: TaskKind,
    outcome: Outcome,
    count: u64,
    seconds: f64,
    bytes: u64,
}

/// Reads the facts, all of one snapshot.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    subjects: &Subjects,
    head: Head,
) -> Result<Activity, db::Error> {
    let ids = subjects.ids();
    let ids = ids.as_deref();
    let (from, to) = (head.period.start(), head.period.end());
    let all = period::attempts(transaction, Which { from, to, jobs: ids }).await?;
    let before = Which { from: head.before.start(), to: head.before.end(), jobs: ids };
    let before = period::total(transaction, before).await?;
    let slices: Vec<Slice> = all.jobs.values().flatten().cloned().collect();
    let attempts = tallies(&period::tallies(transaction, Which { from, to, jobs: ids }).await?);
    let judged = standing::read(transaction, subjects, head.made_at).await?;
    let gaps = recovery::gaps_of(transaction, from, Some(to), ids).await?;
    let restores = recovery::restores_of(transaction, from, Some(to), ids).await?;
    let trend = trend(transaction, &head, ids, all.days).await?;
    let settings = Settings(alert_setting::all(transaction).await?.rows.into_iter().collect());
    let setting = settings.of(Rule::SuccessRate, None);
    let (mean, mean_before) = if ids.is_none() {
        let mean = compliance_hour::mean_of(transaction, from, to).await?;
        (mean, compliance_hour::mean_of(transaction, head.before.start(), head.before.end()).await?)
    } else {
        (None, None)
    };
    let troubled = match head.report {
        ReportKind::Daily => execution::troubled(transaction, from, to, ids, TROUBLED_LISTED).await?,
        _ => Vec::new(),
    };
    let unsuccessful = attempts.iter().filter(|tally| tally.outcome != Outcome::Success);
    let troubled_total = unsuccessful.map(|tally| tally.count).sum();
    Ok(Activity {
        standing: Counts::of(&judged),
        compliance_mean: mean,
        compliance_mean_before: mean_before,
        success_rate_demanded: setting.below,
        figures: Figures::of(&slices),
        figures_before: Figures::of(&before),
        recovery_points: RecoveryPoints::of(&gaps),
        restores: restores.into(),
        verified: Coverage::of(&judged),
        alerts: Alerts::read(transaction, &head, ids).await?,
        dead_tasks: dead_task::count(transaction).await?,
        trend,
        attempts,
        jobs: jobs::rows(transaction, judged, &gaps, all.jobs, setting.below).await?,
        troubled: troubled.into_iter().map(Trouble::new).collect(),
        troubled_total,
        head,
    })
}

/// By the day, or by the week where the days are many; only as far as the present.
async fn trend(
    transaction: &Transaction<'_>,
    head: &Head,
    jobs: Option<&[JobId]>,
    mut days: BTreeMap<NaiveDate, Vec<Slice>>,
) -> Result<Vec<Step>, db::Error> {
    let Span { mut from, to } = head.period;
    let to = to.min(head.made_at.date_naive());
    if head.period.days() < SHORTEST_TREND {
        from = to.checked_sub_days(Days::new(SHORTEST_TREND - 1)).unwrap_or(from);
        let span = Span { from, to };
        days = period::days(transaction, Which { from: span.start(), to: span.end(), jobs }).await?;
    }
    let shares = if jobs.is_none() {
        let span = Span { from, to };
        compliance_hour::by_day(transaction, span.start(), span.end()).await?
    } else {
        BTreeMap::new()
    };
    let all: Vec<NaiveDate> = from.iter_days().take_while(|day| *day <= to).collect();
    let together = if all.len() > MOST_BARS { 7 } else { 1 };
    Ok(all.chunks(together).map(|chunk| Step::new(chunk, &days, &shares)).collect())
}

impl Step {
    fn new(
        chunk: &[NaiveDate],
        days: &BTreeMap<NaiveDate, Vec<Slice>>,
        shares: &BTreeMap<NaiveDate, f64>,
    ) -> Self {
        let slices: Vec<Slice> = chunk.iter().filter_map(|day| days.get(day)).flatten().cloned().collect();
        let Figures { backups, success_rate, source_bytes, storage_growth, .. } = Figures::of(&slices);
        let known: Vec<f64> = chunk.iter().filter_map(|day| shares.get(day).copied()).collect();
        let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
        Self {
            from: chunk.first().copied().unwrap_or_default(),
            figures: StepFigures { backups, success_rate, source_bytes, storage_growth },
            compliance_mean: mean,
        }
    }
}

fn tallies(slices: &[Slice]) -> Vec<Tally> {
    let mut tallies: BTreeMap<(TaskKind, Outcome), Tally> = BTreeMap::new();
    for Slice { kind, outcome, count, seconds, bytes, .. } in slices {
        let new = Tally { kind: *kind, outcome: *outcome, count: 0, seconds: 0.0, bytes: 0 };
        let tally = tallies.entry((*kind, *outcome)).or_insert(new);
        tally.count += count;
        tally.seconds += seconds;
        tally.bytes = tally.bytes.saturating_add(*bytes);
    }
    tallies.into_values().collect()
}

impl From<Restores> for RestoreTimes {
    fn from(Restores { count, longest, p95 }: Restores) -> Self {
        Self { count, longest_seconds: longest, p95_seconds: p95 }
    }
}

impl Activity {
    /// What is known of each job.
    pub(super) fn jobs(&self) -> &[JobRow] {
        &self.jobs
    }

    /// The job that has not had a young enough restore point for the longest time.
    fn unprotected(&self) -> Option<&JobRow> {
        self.jobs.iter().filter(|job| job.unprotected_since.is_some()).min_by_key(|job| job.unprotected_since)
    }
}
