//! `producer tasks show ID`

use shared::db::Database;
use shared::task::TaskId;
use uuid::Uuid;

use crate::commands::life::Life;
use crate::commands::{Exit, Failure, shown};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// The task's id
    id: Uuid,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let life = Life::read(database, TaskId(args.id)).await?.ok_or_else(|| unknown(TaskId(args.id)))?;
    if args.json {
        shown::print_json(&life)?;
    } else {
        shown::print(&life.text())?;
    }
    Ok(Exit::Done)
}

/// That nothing is known of an id.
pub(super) fn unknown(id: TaskId) -> Failure {
    Failure::BadInput(format!(
        "no task is known as {id}: it is older than what is remembered, or no worker has taken its message yet"
    ))
}
