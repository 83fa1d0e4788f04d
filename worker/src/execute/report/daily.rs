//! The daily report: what a day's attempts came to, which jobs keep the 3-2-1-1-0 rule, and what needs attention.

use anyhow::Context as _;
use askama::Template;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use deadpool_postgres::tokio_postgres::IsolationLevel;
use serde::Serialize;
use serde_json::Value;
use shared::clock;
use shared::compliance::{Answer, Verdict};
use shared::db::compliance::{JobVerdicts, verdicts};
use shared::db::execution::{self, Finished, Tally};
use shared::db::restore_point::{self, Listed};
use shared::db::{self, Database};
use shared::task::Outcome;
use shared::terminal;

/// No more jobs are listed than these, those that do not comply first; the rest is counted.
const JOBS_LISTED: usize = 1_000;
/// No more attempts are listed than these, the newest first; the rest is counted.
const TROUBLED_LISTED: i64 = 100;
/// A reason is cut after so many characters: its beginning says what happened.
const REASON_CHARACTERS: usize = 500;

/// A finished report: the page needs nothing but itself.
#[derive(Debug)]
pub(crate) struct Daily {
    /// The facts for programs.
    pub(crate) content: Value,
    /// The page for people.
    pub(crate) html: String,
}

/// What a report says.
#[derive(Debug, Serialize, Template)]
#[template(path = "daily.html")]
struct Content {
    /// The day in UTC.
    day: NaiveDate,
    /// When the verdicts below were read: they are of this moment, the attempts are of the day.
    made_at: DateTime<Utc>,
    /// The share of the day's backup attempts, and of those that were reported, that succeeded, warnings included, of those that succeeded or failed.
    success_rate: Option<f64>,
    executions: Vec<Tally>,
    jobs_total: usize,
    jobs_compliant: usize,
    jobs: Vec<JobEntry>,
    troubled_total: i64,
    troubled: Vec<Trouble>,
}

/// An attempt that somebody should look at.
#[derive(Debug, Serialize)]
struct Trouble {
    #[serde(flatten)]
    attempt: Finished,
    /// Its error, the first entries that it could not read, or what it missed.
    why: String,
}

#[derive(Debug, Serialize)]
struct JobEntry {
    #[serde(flatten)]
    judged: JobVerdicts,
    restore_points: Vec<Listed>,
}

/// Makes the report of a day in UTC.
pub(crate) async fn make(database: &Database, day: NaiveDate) -> anyhow::Result<Daily> {
    let content = read(database, day).await?;
    let html = content.render().context("rendering the report")?;
    Ok(Daily { content: serde_json::to_value(&content)?, html })
}

/// The moments at which a day in UTC begins and ends.
pub(crate) fn period(day: NaiveDate) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
    let next = day.checked_add_days(Days::new(1)).context("the day is the last one that can be counted")?;
    Ok((day.and_time(NaiveTime::MIN).and_utc(), next.and_time(NaiveTime::MIN).and_utc()))
}

async fn read(database: &Database, day: NaiveDate) -> anyhow::Result<Content> {
    let (from, to) = period(day)?;
    let mut client = database.client().await?;
    // One snapshot, so that the counts and the lists of the report agree.
    let reading = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = reading.start().await.map_err(db::Error::from)?;
    let executions = execution::tally(&transaction, from, to).await?;
    let troubled = execution::troubled(&transaction, from, to, TROUBLED_LISTED).await?;
    let judged = verdicts(&transaction, None).await?;
    let points = restore_point::newest_of_each(&transaction, None).await?;
    drop(transaction);

    let not_well = executions.iter().filter(|tally| tally.outcome != Outcome::Success);
    Ok(Content {
        day,
        made_at: clock::now(),
        success_rate: success_rate(&executions),
        jobs_total: judged.len(),
        jobs_compliant: judged.iter().filter(|job| job.compliant).count(),
        jobs: listed(judged, points),
        troubled_total: not_well.map(|tally| tally.count).sum(),
        troubled: troubled.into_iter().map(Trouble::new).collect(),
        executions,
    })
}

/// Only backups, because checks are many and would hide a backup that fails; what was cancelled or lost with its
/// worker says nothing about either.
fn success_rate(executions: &[Tally]) -> Option<f64> {
    let count = |outcomes: &[Outcome]| -> i64 {
        let backups = executions.iter().filter(|tally| tally.kind.tells_of_a_backup());
        backups.filter(|tally| outcomes.contains(&tally.outcome)).map(|tally| tally.count).sum()
    };
    let good = count(&[Outcome::Success, Outcome::Warning]);
    let all = good + count(&[Outcome::Failed, Outcome::TimedOut]);
    (all > 0).then(|| good as f64 / all as f64)
}

/// The jobs that are listed, each with its restore points.
fn listed(mut judged: Vec<JobVerdicts>, mut points: Vec<Listed>) -> Vec<JobEntry> {
    judged.sort_by_key(|job| job.compliant);
    judged.truncate(JOBS_LISTED);
    points.sort_by(|one, other| one.job.cmp(&other.job));
    let of_job = |job: &str| {
        let first = points.partition_point(|point| point.job.as_str() < job);
        points[first..].iter().take_while(|point| point.job == job).cloned().collect()
    };
    judged.into_iter().map(|judged| JobEntry { restore_points: of_job(&judged.job), judged }).collect()
}

impl Trouble {
    /// The lists of entries and the whole error stay with the execution.
    fn new(mut attempt: Finished) -> Self {
        let detail = attempt.detail.take();
        let error = attempt.error.take();
        let mut why = error
            .or_else(|| unread(detail.as_ref()?))
            .or_else(|| missing(detail.as_ref()?))
            .unwrap_or_default();
        if let Some((end, _)) = why.char_indices().nth(REASON_CHARACTERS) {
            why.truncate(end);
            why.push('…');
        }
        Self { attempt, why }
    }
}

/// The first entries of the source that a backup could not read.
fn unread(detail: &Value) -> Option<String> {
    let entries = detail.get("source_errors")?.as_array()?;
    let entries: Vec<&str> = entries.iter().filter_map(Value::as_str).collect();
    (!entries.is_empty()).then(|| format!("could not be read: {}", entries.join(", ")))
}

/// How many restore points a retention would have kept that are not in the repository any more.
fn missing(detail: &Value) -> Option<String> {
    let count = detail.pointer("/missing/count")?.as_u64().filter(|count| *count > 0)?;
    Some(format!("{count} restore points are to be kept and are not there"))
}

/// What the page shows of the facts.
impl Content {
    fn success_percent(&self) -> String {
        self.success_rate.map_or_else(|| "no backups".to_owned(), |rate| format!("{:.1} %", 100.0 * rate))
    }

    fn jobs_unlisted(&self) -> usize {
        self.jobs_total - self.jobs.len()
    }

    fn troubled_unlisted(&self) -> i64 {
        self.troubled_total.saturating_sub_unsigned(self.troubled.len() as u64)
    }

    fn has_points(&self) -> bool {
        self.jobs.iter().any(|job| !job.restore_points.is_empty())
    }
}

impl JobEntry {
    /// The verdicts that somebody should look at.
    fn notable(&self) -> impl Iterator<Item = &Verdict> {
        self.judged.verdicts.iter().filter(|verdict| verdict.answer != Answer::Pass)
    }
}

fn moment(time: &DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn mean(tally: &Tally) -> String {
    terminal::seconds(tally.seconds / tally.count.max(1) as f64)
}
