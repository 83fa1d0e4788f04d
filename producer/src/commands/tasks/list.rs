//! `producer tasks list`

use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::IsolationLevel;
use serde_json::json;
use shared::db::running::{self, Held};
use shared::db::task::{self, Listed, Which};
use shared::db::{self, Database};
use shared::job::JobName;
use shared::task::TaskKind;
use shared::{clock, terminal};

use crate::commands::{Exit, Failure, shown};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// Only of one kind
    #[arg(long)]
    kind: Option<TaskKind>,
    /// Only of one job
    #[arg(long, value_name = "NAME")]
    job: Option<JobName>,
    /// Only what waits, or only what runs
    #[arg(long)]
    state: Option<State>,
    /// Shows no more than so many of each state
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Prints one JSON object with the arrays running and waiting
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum State {
    Waiting,
    Running,
}

pub(super) async fn run(database: &Database, args: Args) -> Result<Exit, Failure> {
    let Found { mut running, mut waiting } = Found::read(database, &args).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let more = running.len() > limit || waiting.len() > limit;
    running.truncate(limit);
    waiting.truncate(limit);
    if args.json {
        shown::print_json(&json!({ "running": running, "waiting": waiting }))?;
        return Ok(Exit::Done);
    }
    if running.is_empty() && waiting.is_empty() {
        shown::print("nothing waits or runs")?;
        return Ok(Exit::Done);
    }
    shown::print(&table(&running, &waiting, clock::now()))?;
    if more {
        eprintln!("there are more: --limit shows them");
    }
    Ok(Exit::Done)
}

/// One more of each than is shown tells that there are more.
struct Found {
    running: Vec<Held>,
    waiting: Vec<Listed>,
}

impl Found {
    async fn read(database: &Database, args: &Args) -> Result<Self, db::Error> {
        let mut client = database.client().await?;
        // A task may move meanwhile: one snapshot shows it in one place.
        let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let snapshot = snapshot.read_only(true).start().await?;
        let which = Which { id: None, kind: args.kind, job: args.job.clone() };
        let limit = i64::from(args.limit) + 1;
        let waiting = match args.state {
            Some(State::Running) => Vec::new(),
            _ => task::list(&snapshot, &which, limit).await?,
        };
        let running = match args.state {
            Some(State::Waiting) => Vec::new(),
            _ => running::list(&snapshot, &which, limit).await?,
        };
        Ok(Self { running, waiting })
    }
}

fn table(running: &[Held], waiting: &[Listed], now: DateTime<Utc>) -> String {
    let headers =
        ["task", "state", "kind", "job", "age", "attempt", "start", "worker", "progress or last error"];
    let mut table = terminal::table(&headers);
    for task in running {
        let state = if task.cancelled_by.is_some() { "ending" } else { "running" };
        table.add_row([
            task.id.to_string(),
            state.to_owned(),
            task.kind.clone(),
            task.job.clone().unwrap_or_default(),
            shown::age(task.enqueued_at, now),
            task.attempt.to_string(),
            format!("{} ago", shown::age(task.started_at, now)),
            shown::line(&task.worker, shown::CELL),
            task.progress.as_ref().map(shown::progress).unwrap_or_default(),
        ]);
    }
    for task in waiting {
        table.add_row([
            task.id.to_string(),
            "waiting".to_owned(),
            task.kind.clone(),
            task.job.clone().unwrap_or_default(),
            shown::age(task.enqueued_at, now),
            task.attempt.to_string(),
            start(task, now),
            String::new(),
            shown::line(task.last_error.as_deref().unwrap_or_default(), shown::CELL),
        ]);
    }
    table.to_string()
}

fn start(task: &Listed, now: DateTime<Utc>) -> String {
    match (&task.waiting_for, task.run_at) {
        (Some(what), _) => format!("waits for {what}"),
        (None, Some(at)) if at > now => format!("in {}", shown::age(now, at)),
        (None, _) => "due".to_owned(),
    }
}
