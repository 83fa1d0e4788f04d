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
    /// Prints the next due times of a job, a report or an expression, one a line
    Next(next::Args),
    /// Has a schedule enqueue nothing until it is resumed
    Pause(Which),
    /// Has a paused schedule go on; what was due meanwhile is caught up as it says
    Resume(Which),
}

/// One schedule, or all of a kind that a job has.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Its own name, as `schedule list` shows it, or its job's
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
    let schedules = schedule::set_paused(&client, which.kind, &which.name, by).await?;
    let (kind, name) = (which.kind, &which.name);
    match (schedules, by.is_some()) {
        (0, _) => return Err(missing(&client, kind, name).await?),
        (1, true) => println!("the {kind} schedule of {name} is paused"),
        (1, false) => println!("the {kind} schedule of {name} goes on"),
        (_, true) => println!("the {schedules} {kind} schedules of {name} are paused"),
        (_, false) => println!("the {schedules} {kind} schedules of {name} go on"),
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
        Ok(name) => db::job::resolve(client, &[&name]).await?.values().filter(|job| !job.removed).count(),
        Err(_) => 0,
    };
    let why = if jobs > 0 { "the job has no such schedule" } else { "no job and no report has this name" };
    Ok(Failure::BadInput(format!("no {kind} schedule of {name:?}: {why}")))
}
