//! `producer schedule ..`

mod list;
mod next;

use deadpool_postgres::GenericClient;
use shared::db::{Database, schedule};
use shared::task::TaskKind;

use super::{Exit, Failure, actor};
use crate::operations::schedules;

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
    /// Enqueues the work of a schedule now, beside its due times
    Run(Which),
}

/// One schedule, or all of a kind that a job has.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Its own name, as `schedule list` shows it, or its job's
    name: String,
    /// What it enqueues; of a job's name, its backups, and else what the name belongs to
    #[arg(long)]
    kind: Option<TaskKind>,
}

impl Which {
    async fn found<C: GenericClient>(&self, client: &C) -> Result<schedules::Which<'_>, Failure> {
        Ok(schedules::Which { kind: kind(client, &self.name, self.kind).await?, name: &self.name })
    }
}

/// What a schedule of a name enqueues, unless it is said.
async fn kind<C: GenericClient>(client: &C, name: &str, said: Option<TaskKind>) -> Result<TaskKind, Failure> {
    if let Some(kind) = said {
        return Ok(kind);
    }
    let kinds = schedule::kinds_of(client, name).await?;
    let backup = TaskKind::Backup;
    Ok(if kinds.contains(&backup) { backup } else { kinds.first().copied().unwrap_or(backup) })
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
        Command::Pause(which) => pause(database, &which, true).await,
        Command::Resume(which) => pause(database, &which, false).await,
        Command::Run(which) => run_now(database, &which).await,
    }
}

async fn pause(database: &Database, which: &Which, is_paused: bool) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let found = which.found(&transaction).await?;
    let schedules = schedules::pause(&transaction, found, is_paused, &actor()).await?;
    let schedules::Which { kind, name } = found;
    transaction.commit().await?;
    match (schedules, is_paused) {
        (1, true) => shared::say!("the {kind} schedule of {name} is paused"),
        (1, false) => shared::say!("the {kind} schedule of {name} goes on"),
        (_, true) => shared::say!("the {schedules} {kind} schedules of {name} are paused"),
        (_, false) => shared::say!("the {schedules} {kind} schedules of {name} go on"),
    }
    Ok(Exit::Done)
}

async fn run_now(database: &Database, which: &Which) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let found = which.found(&transaction).await?;
    let tasks = schedules::run_now(&transaction, found, &actor()).await?;
    transaction.commit().await?;
    for task in tasks {
        shared::say!("{task} enqueued");
    }
    Ok(Exit::Done)
}
