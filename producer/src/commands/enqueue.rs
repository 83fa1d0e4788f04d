//! `producer enqueue KIND`, and `producer enqueue --from FILE`

mod lines;
mod many;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use shared::db::Database;
use shared::job::JobName;
use shared::message::{self, TaskMessage};
use shared::task::{Priority, TaskId, TaskKind};
use tokio::time::Instant;
use uuid::Uuid;

use super::finding::Finding;
use super::progress::Progress;
use super::{Exit, Failure, actor, wait};
use crate::operations::tasks;

/// Who asks, in the tasks that commands enqueue.
pub(super) const REQUESTED_BY: &str = "cli";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to do: backup, copy, verify, restore, probe, forget, report, maintain
    #[arg(required_unless_present = "from")]
    kind: Option<TaskKind>,
    /// Takes many tasks from a file, or from standard input as `-`: one a line, as JSON in the form of a message
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["kind", "job", "params", "priority", "id", "not_before", "wait"]
    )]
    from: Option<PathBuf>,
    /// Only says what would become of each line
    #[arg(long, requires = "from")]
    dry_run: bool,
    /// The job to do it for
    #[arg(long)]
    job: Option<JobName>,
    /// A parameter of the kind, such as target=disk-a
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// high or normal; the job's own when absent
    #[arg(long)]
    priority: Option<Priority>,
    /// The task's id, which runs once; a new one when absent
    #[arg(long)]
    id: Option<Uuid>,
    /// Not to be started earlier, such as 2026-11-23T02:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<DateTime<Utc>>,
    /// Waits until the task is finished
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, default_value = "1h", requires = "wait")]
    timeout: humantime::Duration,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

fn parameter(pair: &str) -> Result<(String, String), String> {
    let (key, value) = pair.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) async fn run(database: &Database, args: Args) -> Result<Exit, Failure> {
    if let Some(file) = &args.from {
        return many::run(database, file, args.dry_run, args.json).await;
    }
    let message = checked(&args)?;
    let id = message.id;
    let is_new = enqueue(database, message, args.priority).await?;
    if !args.json {
        shared::say!("{id} {}", if is_new { "enqueued" } else { "is already known: it runs once" });
    }
    if !args.wait && !args.json {
        return Ok(Exit::Done);
    }
    let patience = if args.wait { args.timeout.into() } else { Duration::ZERO };
    let mut progress = Progress::new();
    let state = wait::until_finished(database, id, Instant::now() + patience, &mut progress).await;
    progress.clear();
    let found = Finding::of(database, id, state?).await?;
    found.print(args.json)?;
    if !args.wait {
        return Ok(Exit::Done);
    }
    if found.exit() == Exit::TimedOut {
        eprintln!("not finished within {}: the task goes on", args.timeout);
    }
    Ok(found.exit())
}

/// The task as it would come over the wire, so that one place knows what a task may be.
fn checked(args: &Args) -> Result<TaskMessage, Failure> {
    let now = shared::clock::now();
    let params: Map<String, Value> =
        args.params.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let message = json!({
        "version": message::VERSION,
        "id": args.id.map_or_else(TaskId::generate, TaskId),
        "kind": args.kind,
        "job": args.job,
        "enqueued_at": now,
        "requested_by": REQUESTED_BY,
        "not_before": args.not_before,
        "params": params,
    });
    match message::read(message.to_string().as_bytes(), None, now).pop() {
        Some(Ok(message)) => Ok(message),
        Some(Err(refused)) => Err(Failure::BadInput(refused.refusal.to_string())),
        None => Err(Failure::BadInput("no task was asked for".to_owned())),
    }
}

/// Writes the task; returns whether its id was new.
async fn enqueue(
    database: &Database,
    message: TaskMessage,
    priority: Option<Priority>,
) -> Result<bool, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let order = tasks::Order { message, priority, may_be_above: true };
    let fresh = tasks::enqueue(&transaction, vec![order], &actor()).await.map_err(|(_, refused)| refused)?;
    transaction.commit().await?;
    Ok(!fresh.is_empty())
}
