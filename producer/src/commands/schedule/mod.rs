//! `producer schedule ..`

mod list;
mod next;

use shared::db::{self, Database, schedule};
use shared::task::TaskKind;

use super::{Exit, Failure, operator};

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

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List { json } => list::run(database, json).await,
        Command::Next(args) => next::run(database, &args).await,
        Command::Pause(which) => pause(database, &which, Some(&operator())).await,
        Command::Resume(which) => pause(database, &which, None).await,
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
