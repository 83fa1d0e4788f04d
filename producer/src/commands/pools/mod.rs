//! `producer pools ..`

mod drain;
mod list;
mod set;

use shared::db::Database;
use shared::db::pool_setting::{Change, PoolState};
use shared::task::TaskKind;

use super::{Exit, Failure, actor};
use crate::operations::pools;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows the pools of all workers, and what they were told
    List {
        /// Prints a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Changes the slots or the rate of pools that run
    Set(set::Args),
    /// Has pools start nothing more; what runs goes on
    Pause(Which),
    /// Has pools that were paused or drained go on
    Resume(Which),
    /// Has pools start nothing more and give back what they run: other workers go on with it
    Drain(drain::Args),
}

/// Pools of one kind.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Their kind
    kind: TaskKind,
    /// Only that of one worker
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
}

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List { json } => list::run(database, json).await,
        Command::Set(args) => set::run(database, &args).await,
        Command::Pause(which) => tell(database, &which, PoolState::Paused).await,
        Command::Resume(which) => resume(database, &which).await,
        Command::Drain(args) => drain::run(database, &args).await,
    }
}

impl Which {
    fn of(&self) -> pools::Which<'_> {
        pools::Which { kind: self.kind, worker: self.worker.as_deref() }
    }

    fn name(&self) -> String {
        self.worker
            .as_ref()
            .map_or_else(|| self.kind.to_string(), |worker| format!("{} of {worker}", self.kind))
    }
}

async fn tell(database: &Database, which: &Which, state: PoolState) -> Result<Exit, Failure> {
    let change = Change { state: Some(Some(state)), ..Change::default() };
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    pools::change(&transaction, which.of(), change, &actor()).await?;
    transaction.commit().await?;
    shared::say!("{} is {state} within 2 s", which.name());
    Ok(Exit::Done)
}

async fn resume(database: &Database, which: &Which) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    pools::resume(&transaction, which.of(), &actor()).await?;
    transaction.commit().await?;
    shared::say!("{} goes on within 2 s", which.name());
    Ok(Exit::Done)
}
