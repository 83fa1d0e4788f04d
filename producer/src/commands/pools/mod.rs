//! `producer pools ..`

mod drain;
mod list;
mod set;

use shared::db::pool_setting::{self, Change, PoolState};
use shared::db::{self, Database};
use shared::task::TaskKind;

use super::{Exit, Failure, operator};

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
    /// Refuses a kind that no worker runs, and a worker that is not there.
    async fn check(&self, database: &Database) -> Result<(), Failure> {
        if !self.kind.is_implemented() {
            let why = format!("tasks of kind {} are not implemented yet", self.kind);
            return Err(Failure::BadInput(why));
        }
        let Some(name) = &self.worker else { return Ok(()) };
        let workers = db::worker::present(&database.client().await?).await?;
        if workers.iter().any(|worker| worker.name == *name && worker.pools.contains_key(&self.kind)) {
            return Ok(());
        }
        let names: Vec<String> = workers
            .into_iter()
            .filter(|worker| worker.pools.contains_key(&self.kind))
            .map(|worker| worker.name)
            .collect();
        let there = if names.is_empty() {
            "none is there".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        Err(Failure::BadInput(format!("no worker named {name:?} has a pool {}; {there}", self.kind)))
    }

    fn name(&self) -> String {
        self.worker
            .as_ref()
            .map_or_else(|| self.kind.to_string(), |worker| format!("{} of {worker}", self.kind))
    }
}

async fn tell(database: &Database, which: &Which, state: PoolState) -> Result<Exit, Failure> {
    which.check(database).await?;
    let change = Change { state: Some(Some(state)), ..Change::default() };
    pool_setting::change(&database.client().await?, which.kind, which.worker.as_deref(), change, &operator())
        .await?;
    println!("{} is {state} within 2 s", which.name());
    Ok(Exit::Done)
}

/// Of all workers, those that were told something themselves go on as well.
async fn resume(database: &Database, which: &Which) -> Result<Exit, Failure> {
    which.check(database).await?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let settings = pool_setting::all(&transaction).await?;
    let workers: Vec<Option<&str>> = match &which.worker {
        Some(worker) => vec![Some(worker)],
        None => settings
            .iter()
            .filter(|said| said.kind == which.kind)
            .map(|said| said.worker.as_deref())
            .collect(),
    };
    for worker in workers {
        // A worker goes on although all were told to pause.
        let state = worker.filter(|_| which.worker.is_some()).map(|_| PoolState::Running);
        let change = Change { state: Some(state), ..Change::default() };
        pool_setting::change(&transaction, which.kind, worker, change, &operator()).await?;
    }
    transaction.commit().await.map_err(db::Error::from)?;
    println!("{} goes on within 2 s", which.name());
    Ok(Exit::Done)
}
