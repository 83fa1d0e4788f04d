//! `reporter status`: what waits, what runs and what came of it, from the database alone.

mod text;

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::clock;
use shared::db::execution::Tally;
use shared::db::running::{self, Running};
use shared::db::worker::Worker;
use shared::db::{Database, compliance, dead_task, execution, task, worker};

use super::{print, print_json};

/// No more running tasks are listed than these; the rest is counted.
const RUNNING_LISTED: i64 = 100;
/// The period of the executions, in hours.
const PERIOD: i64 = 24;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    jobs: usize,
    compliant: usize,
    workers: Vec<Worker>,
    waiting: Vec<Waiting>,
    running_total: i64,
    running: Vec<RunningTask>,
    dead: i64,
    executions_since: DateTime<Utc>,
    executions: Vec<Tally>,
}

#[derive(Debug, Serialize)]
struct Waiting {
    kind: String,
    tasks: i64,
    /// Of these, the tasks that wait for something to happen, not for their turn.
    held: i64,
}

#[derive(Debug, Serialize)]
struct RunningTask {
    #[serde(flatten)]
    task: Running,
    elapsed_seconds: f64,
    percent: Option<f64>,
}

/// Prints the status.
///
/// # Errors
/// The database failed.
pub async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let status = read(database).await?;
    if args.json {
        print_json(&status)?;
    } else {
        print(&text::render(&status))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(database: &Database) -> anyhow::Result<Status> {
    let client = database.client().await?;
    let now = clock::now();
    let since = now - TimeDelta::hours(PERIOD);
    let verdicts = compliance::verdicts(&client, None).await?;
    let waiting = task::count_waiting(&client).await?.into_iter();
    let running = running::oldest(&client, RUNNING_LISTED).await?.into_iter();
    Ok(Status {
        jobs: verdicts.len(),
        compliant: verdicts.iter().filter(|job| job.compliant).count(),
        workers: worker::present(&client).await?,
        waiting: waiting.map(|(kind, tasks, held)| Waiting { kind, tasks, held }).collect(),
        running_total: running::count(&client).await?.iter().map(|(_, tasks)| tasks).sum(),
        running: running.map(|task| RunningTask::new(task, now)).collect(),
        dead: dead_task::count(&client).await?,
        executions_since: since,
        executions: execution::tally(&client, since, now + TimeDelta::hours(1)).await?,
    })
}

impl RunningTask {
    fn new(task: Running, now: DateTime<Utc>) -> Self {
        let elapsed = (now - task.started_at).max(TimeDelta::zero());
        let percent = percent(task.progress.as_ref());
        Self { task, elapsed_seconds: elapsed.as_seconds_f64(), percent }
    }
}

/// The share that is done, where the executor says both numbers.
fn percent(progress: Option<&serde_json::Value>) -> Option<f64> {
    let number = |field| progress?.get(field)?.as_f64();
    let (done, total) = (number("bytes_done")?, number("bytes_total")?);
    (total > 0.0).then(|| (100.0 * done / total).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::percent;

    #[test]
    fn progress_is_a_percentage_only_where_the_total_is_known() {
        assert_eq!(percent(Some(&json!({ "bytes_done": 25, "bytes_total": 100 }))), Some(25.0));
        for unknown in [json!({ "bytes_done": 25 }), json!({ "bytes_done": 0, "bytes_total": 0 }), json!(7)] {
            assert_eq!(percent(Some(&unknown)), None, "{unknown}");
        }
        assert_eq!(percent(None), None);
    }

    #[test]
    fn a_source_that_grew_is_never_more_than_done() {
        assert_eq!(percent(Some(&json!({ "bytes_done": 130, "bytes_total": 100 }))), Some(100.0));
    }
}
