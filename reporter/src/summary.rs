//! Where things stand, by the same functions as the metrics and the commands, so that all agree.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use shared::alert::Severity;
use shared::compliance::{Answer, Rule};
use shared::db::alert::{self, COUNTED};
use shared::db::{self, Error, backlog, compliance, dead_task, job_health, worker};
use shared::task::TaskKind;

use crate::figures::{self, Figures, PERIODS};

/// Where things stand.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The active jobs.
    pub jobs: Jobs,
    /// What backups came to, by period: `day`, `week` and `month`.
    pub figures: BTreeMap<&'static str, Figures>,
    /// Tasks by where they are.
    pub tasks: Tasks,
    /// Open alerts by severity; those that somebody knows about are not among them.
    pub open_alerts: BTreeMap<Severity, i64>,
    /// Open alerts that somebody knows about, by severity.
    pub acknowledged_alerts: BTreeMap<Severity, i64>,
    /// Workers that were heard of in the last minute.
    pub workers: usize,
    /// When a backup succeeded last.
    pub last_success_at: Option<DateTime<Utc>>,
    /// How many seconds ago that was.
    pub last_success_age_seconds: Option<f64>,
    /// The replica that is read from, where there is one.
    pub replica: Option<Replica>,
}

/// The active jobs.
#[derive(Debug, Serialize)]
pub struct Jobs {
    /// All.
    pub active: usize,
    /// Those that keep all five rules.
    pub compliant: usize,
    /// How many have which answer, by rule.
    pub answers: BTreeMap<Rule, BTreeMap<Answer, usize>>,
}

/// Tasks by where they are.
#[derive(Debug, Serialize)]
pub struct Tasks {
    /// They wait, whatever for, by kind.
    pub waiting: BTreeMap<TaskKind, i64>,
    /// They run, by kind.
    pub running: BTreeMap<TaskKind, i64>,
    /// They will not be tried again by themselves, and nobody has decided about them.
    pub dead: i64,
}

/// A replica.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Replica {
    /// How far it is behind; unknown before it was looked at.
    pub lag_seconds: Option<f64>,
    /// Whether it is read from now.
    pub used: bool,
}

/// Reads where things stand.
///
/// # Errors
/// The database's.
pub async fn read<C: GenericClient>(client: &C, replica: Option<Replica>) -> Result<Summary, Error> {
    let now = db::now(client).await?;
    let verdicts = compliance::verdicts(client, None).await?;
    let mut figures = BTreeMap::new();
    for period in PERIODS {
        figures.insert(period.name, figures::read(client, period.since(now), None).await?);
    }
    let backlog = backlog::by_kind(client).await?;
    let of_each = |count: fn(&backlog::Backlog) -> i64| {
        let count = |kind| (kind, backlog.get(&kind).map_or(0, count));
        TaskKind::ALL.iter().copied().map(count).collect::<BTreeMap<_, _>>()
    };
    let alerts = alert::counts(client, None).await?;
    let [_, open, acknowledged] = COUNTED;
    let last = job_health::last_success(client).await?;
    Ok(Summary {
        jobs: Jobs::of(&verdicts),
        figures,
        tasks: Tasks {
            waiting: of_each(|backlog| backlog.waiting),
            running: of_each(|backlog| backlog.running),
            dead: dead_task::count(client).await?,
        },
        open_alerts: alert::by_severity(&alerts, open),
        acknowledged_alerts: alert::by_severity(&alerts, acknowledged),
        workers: worker::present(client).await?.len(),
        last_success_at: last,
        last_success_age_seconds: last.map(|last| (now - last).as_seconds_f64().max(0.0)),
        replica,
    })
}

impl Jobs {
    fn of(jobs: &[compliance::JobVerdicts]) -> Self {
        let answers = |rule| {
            let count = |wanted| jobs.iter().filter(|job| job.answer(rule) == wanted).count();
            Answer::ALL.iter().map(|&wanted| (wanted, count(wanted))).collect()
        };
        Self {
            active: jobs.len(),
            compliant: jobs.iter().filter(|job| job.compliant).count(),
            answers: Rule::ALL.iter().map(|&rule| (rule, answers(rule))).collect(),
        }
    }
}
