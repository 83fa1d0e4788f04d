//! `producer target ..`

mod attach;
mod detach;
mod list;

use shared::db::Database;
use shared::db::target::StoredTarget;
use shared::target::TargetName;

use super::{Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows all targets
    List {
        /// Prints a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Lets the work on a target end, lists what it holds, and waits until it is out of reach
    Detach {
        /// The target
        name: TargetName,
        /// How long each wait may take: for the work to end, for the list, for the medium to be gone
        #[arg(long, default_value = "10m")]
        timeout: humantime::Duration,
    },
    /// Lets work on a target begin again
    Attach {
        /// The target
        name: TargetName,
    },
}

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List { json } => list::run(database, json).await,
        Command::Detach { name, timeout } => detach::run(database, &name, timeout.into()).await,
        Command::Attach { name } => attach::run(database, &name).await,
    }
}

fn known(stored: Option<StoredTarget>, name: &TargetName) -> Result<StoredTarget, Failure> {
    let defined = stored.filter(|stored| !stored.removed);
    defined.ok_or_else(|| Failure::BadInput(format!("no target is named \"{name}\"")))
}
