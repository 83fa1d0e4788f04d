//! `producer tasks cancel ID..`

use shared::db::task::{self, State};
use shared::db::{self, Database};
use shared::task::TaskId;
use tokio::time::Instant;
use uuid::Uuid;

use super::show::unknown;
use crate::commands::progress::Progress;
use crate::commands::{Exit, Failure, actor, wait};
use crate::operations::Refused;
use crate::operations::tasks::{self, Cancelled};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// The tasks' ids
    #[arg(required = true)]
    ids: Vec<Uuid>,
    /// Waits until each has ended
    #[arg(long)]
    wait: bool,
    /// How long to wait for all of them together
    #[arg(long, default_value = "5m", requires = "wait")]
    timeout: humantime::Duration,
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let ids: Vec<TaskId> = args.ids.iter().copied().map(TaskId).collect();
    // Before anything is changed: bad input changes nothing.
    for id in &ids {
        if task::state(&database.client().await?, *id).await? == State::Unknown {
            return Err(unknown(*id));
        }
    }
    let actor = actor();
    let (mut exit, mut asked) = (Exit::Done, Vec::new());
    for id in ids {
        match tasks::cancel(database, id, &actor).await {
            Ok(Cancelled::Ended) => shared::say!("{id} cancelled"),
            Ok(Cancelled::Asked) => {
                shared::say!("{id} is being ended by its worker");
                asked.push(id);
            }
            Err(Refused::Database(error)) => return Err(error.into()),
            Err(why) => {
                eprintln!("{id} was not cancelled: {why}");
                exit = Exit::Failed;
            }
        }
    }
    if args.wait {
        let deadline = Instant::now() + args.timeout.into();
        for id in asked {
            match until_ended(database, id, deadline).await? {
                Exit::Done => {}
                other => exit = other,
            }
        }
    }
    Ok(exit)
}

async fn until_ended(database: &Database, id: TaskId, deadline: Instant) -> Result<Exit, db::Error> {
    let mut progress = Progress::new();
    let state = wait::until_finished(database, id, deadline, &mut progress).await;
    progress.clear();
    match state? {
        State::Cancelled => {
            shared::say!("{id} cancelled");
            Ok(Exit::Done)
        }
        State::Queued { .. } | State::Running { .. } => {
            eprintln!("{id} has not ended in time: its end stays asked for");
            Ok(Exit::TimedOut)
        }
        State::Succeeded | State::Dead { .. } | State::Unknown => {
            eprintln!("{id} was not cancelled: it ended by itself first");
            Ok(Exit::Failed)
        }
    }
}
