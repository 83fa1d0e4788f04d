//! `worker restore`: restores on this machine at once, without the queue, for whoever needs the data now.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use shared::db;
use shared::db::Database;
use shared::db::repository_lock::{Holder, Refused};
use shared::db::restore_point::{RestorePoint, Wanted};
use shared::db::target::StoredTarget;
use shared::exit::BadInput;
use shared::job::JobName;
use shared::target::TargetName;
use shared::task::{Ended, Epoch, TaskId};
use shared::terminal;
use shared::work::RestorePointId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::clock::BootInstant;
use crate::engine::parent::Engine;
use crate::engine::protocol::{Operation, OperationResult, Restore};
use crate::execute::describe;

/// How long a command holds a repository without saying so again.
const LOCK: Duration = Duration::from_mins(2);
/// A command's engine ends with the command: it needs no other end.
const LEASE: Duration = Duration::from_hours(24 * 365);

/// What to restore, and where to.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The job whose data is wanted
    #[arg(long)]
    job: JobName,
    /// From this target; by default from the first in reach that has the newest restore point
    #[arg(long)]
    target: Option<TargetName>,
    /// The newest restore point whose data is from this moment or before, such as 2026-11-27T08:00:00Z
    #[arg(long, value_name = "MOMENT", conflicts_with = "restore_point")]
    at: Option<DateTime<Utc>>,
    /// This restore point, by its id
    #[arg(long, value_name = "ID")]
    restore_point: Option<Uuid>,
    /// Into this directory, which must be empty or not exist yet
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

/// Restores the newest restore point, or the one that is named.
///
/// # Errors
/// What keeps it from being restored, in words for a person.
pub async fn run(args: RestoreArgs, database: &Database) -> anyhow::Result<()> {
    let point = choose(&args, database).await?;
    let holder = Holder { task: TaskId::generate(), epoch: Epoch(0), lease: LOCK };
    let stored = lock(database, &point, holder).await?;
    let restored = tokio::select! {
        restored = restore(&args, &point, &stored) => restored,
        failed = keep_lock(database, &point, holder) => Err(failed),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted: what was restored so far is incomplete")),
    };
    db::repository_lock::release(&database.client().await?, holder.task).await?;
    restored
}

/// Holds the lock for as long as it is awaited; ends only with a failure.
async fn keep_lock(database: &Database, point: &RestorePoint, holder: Holder) -> anyhow::Error {
    loop {
        tokio::time::sleep(LOCK / 4).await;
        if let Err(error) = lock(database, point, holder).await {
            return error.context("the repository could not be held any longer");
        }
    }
}

async fn choose(args: &RestoreArgs, database: &Database) -> anyhow::Result<RestorePoint> {
    let client = database.client().await?;
    let jobs = db::job::resolve(&client, &[&args.job]).await?;
    let job = jobs.get(&args.job).ok_or_else(|| BadInput(format!("no job is named {}", args.job)))?;
    let wanted = Wanted { id: args.restore_point.map(RestorePointId), at: args.at };
    let mut points = db::restore_point::reachable(&client, job.id, wanted).await?;
    if let Some(name) = &args.target {
        let target = db::target::by_name(&client, name).await?;
        let target = target.ok_or_else(|| BadInput(format!("no target is named {name}")))?;
        points.retain(|point| point.target == target.id);
    }
    points.into_iter().next().with_context(|| {
        let such = match (args.restore_point, args.at) {
            (Some(id), _) => format!(" with the id {id}"),
            (None, Some(at)) => format!(" from {at} or before"),
            (None, None) => String::new(),
        };
        format!("no restore point of {}{such} is in reach", args.job)
    })
}

async fn lock(database: &Database, point: &RestorePoint, holder: Holder) -> anyhow::Result<StoredTarget> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let target = db::restore_point::target_of(&transaction, point.id).await?;
    let target = target.context("the restore point's target does not exist any more")?;
    let acquired = db::repository_lock::acquire(&transaction, &target, holder, false).await?;
    _ = db::commit(transaction).await?;
    match acquired {
        Ok(stored) => Ok(stored),
        Err(Refused::Unknown | Refused::Away | Refused::Fenced) => bail!("the target {target} is detached"),
        Err(Refused::Busy) => bail!("somebody uses the repository of {target} alone now: try again soon"),
    }
}

async fn restore(args: &RestoreArgs, point: &RestorePoint, stored: &StoredTarget) -> anyhow::Result<()> {
    let repository = match describe(stored) {
        Ok(repository) => repository,
        Err(Ended::Failed { error, .. }) => bail!(error),
        Err(_) => bail!("the repository of {} cannot be used", stored.target.name),
    };
    let into = std::path::absolute(&args.into)?;
    let restore = Restore { repository, snapshot: point.snapshot.clone(), into: into.clone() };
    let engine = Engine::new(std::env::current_exe()?);
    let (_extend, lease) = watch::channel(BootInstant::from_now(LEASE));
    let completed = engine.run(Operation::Restore(restore), lease, CancellationToken::new(), |_| {}).await?;
    let OperationResult::Restore(result) = completed.result else {
        bail!("the engine answered another question")
    };
    if args.json {
        let facts = serde_json::json!({
            "job": args.job, "target": stored.target.name, "snapshot": point.snapshot,
            "data_time": point.data_time, "into": into, "files": result.files, "bytes": result.bytes,
            "seconds": result.seconds,
        });
        shared::say!("{facts}");
    } else {
        let size = terminal::bytes(i64::try_from(result.bytes).unwrap_or(i64::MAX));
        shared::say!(
            "restored {} files, {size}, of {} from {} in {}, as of {}",
            result.files,
            args.job,
            stored.target.name,
            terminal::seconds(result.seconds),
            point.data_time
        );
    }
    Ok(())
}
