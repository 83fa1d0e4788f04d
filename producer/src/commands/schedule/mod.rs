//! `producer schedule ..`

mod list;
mod next;

use shared::db::{self, Database, schedule};
use shared::task::TaskKind;

use super::{Exit, Failure, operator};
use crate::scheduler::{self, RunNow};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows what is enqueued again and again, and when next
    List {
        /// Prints a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Prints the next due times of a job, or of an expression, one a line
    Next(next::Args),
    /// Has a schedule enqueue nothing until it is resumed
    Pause(Which),
    /// Has a paused schedule go on; what was due meanwhile is caught up as it says
    Resume(Which),
    /// Enqueues the work of a schedule now, beside its due times
    Run(Which),
}

/// One schedule.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Its job's name, or its own where it has no job
    name: String,
    /// What it enqueues
    #[arg(long, default_value = "backup")]
    kind: TaskKind,
}

/// Runs a command that needs no database; `None` where it needs one.
pub(super) fn run_alone(command: &Command) -> Option<Result<Exit, Failure>> {
    match command {
        Command::Next(args) => next::run_alone(args),
        _ => None,
    }
}

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List { json } => list::run(database, json).await,
        Command::Next(args) => next::run(database, &args).await,
        Command::Pause(which) => pause(database, &which, Some(&operator())).await,
        Command::Resume(which) => pause(database, &which, None).await,
        Command::Run(which) => run_now(database, &which).await,
    }
}

async fn pause(database: &Database, which: &Which, by: Option<&str>) -> Result<Exit, Failure> {
    let client = database.client().await?;
    if !schedule::set_paused(&client, which.kind, &which.name, by).await? {
        return Err(missing(&client, which.kind, &which.name).await?);
    }
    let now = if by.is_some() { "paused" } else { "goes on" };
    println!("the {} schedule of {} {now}", which.kind, which.name);
    Ok(Exit::Done)
}

async fn run_now(database: &Database, which: &Which) -> Result<Exit, Failure> {
    match scheduler::run_now(database, which.kind, &which.name, &operator()).await? {
        RunNow::Enqueued(task) => println!("{task} enqueued"),
        RunNow::Inactive => {
            let why = format!("the job of the {} schedule of {} is not active", which.kind, which.name);
            return Err(Failure::BadInput(why));
        }
        RunNow::Missing => return Err(missing(&database.client().await?, which.kind, &which.name).await?),
    }
    Ok(Exit::Done)
}

/// Says that there is no such schedule, and whether there is a job of this name.
async fn missing(
    client: &deadpool_postgres::Client,
    kind: TaskKind,
    name: &str,
) -> Result<Failure, db::Error> {
    let jobs = match name.parse() {
        Ok(name) => db::job::resolve(client, &[&name]).await?.len(),
        Err(_) => 0,
    };
    let why = if jobs > 0 { "the job has no such schedule" } else { "no job and no report has this name" };
    Ok(Failure::BadInput(format!("no {kind} schedule of {name:?}: {why}")))
}
