//! What people run: each command in a file of its own.

mod answer;

mod alerts;
mod apply;
mod enqueue;
mod export;
mod limits;
mod migrate;
mod pools;
mod schedule;
mod schema;
mod target;
mod token;

mod dead;
mod tasks;

mod figures;
mod finding;
mod life;
mod probes;
mod progress;
mod shown;
mod wait;

use clap::{Parser, Subcommand};
use shared::admin::command::{self as admin, AdminArgs};
use shared::db::Database;
use shared::settings::check::Check;
use shared::settings::{self, Settings, Sources};

pub use answer::{Exit, Failure};

use crate::config::{Base, Config};
use crate::operations::Actor;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "producer",
    version,
    arg_required_else_help = true,
    about = "Holdfast's producer: takes in definitions and tasks"
)]
pub struct Cli {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    check: Check,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publishes due tasks, rescues those of lost workers, and looks after the database
    Run,
    /// Looks into a producer that runs on this machine, or changes what it logs
    Admin(AdminArgs),
    /// Brings the database's schema to this version
    Migrate,
    /// Applies definitions of targets, jobs, limits, reports, alerts and who is told of them, and shows the difference
    Apply(apply::Args),
    /// Writes all that is defined, as `apply` takes it
    Export(export::Args),
    /// Prints what editors and other systems are to go by, the schema of definition files by default: needs neither database nor
    /// broker
    Schema {
        #[command(subcommand)]
        what: Option<schema::Command>,
    },
    /// Asks for one task
    Enqueue(enqueue::Args),
    /// Shows targets, takes them away and brings them back
    #[command(subcommand)]
    Target(target::Command),
    /// Shows what is limited, and changes it while everything runs
    #[command(subcommand)]
    Limits(limits::Command),
    /// Shows the workers' pools, and changes, pauses and drains them while they run
    #[command(subcommand)]
    Pools(pools::Command),
    /// Shows what is enqueued again and again, and when; pauses it
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Makes, shows and revokes the tokens that commands over HTTP need
    #[command(subcommand)]
    Token(token::Command),
    /// Shows tasks that wait or run, and ends them
    #[command(subcommand)]
    Tasks(tasks::Command),
    /// Says that you know about an alert, or that nobody wants to be told
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// Shows what will not be tried again by itself, does it again, or drops it
    #[command(subcommand)]
    Dead(dead::Command),
}

/// Runs the command that the command line names.
///
/// # Errors
/// Whatever kept the command from being done; what its answer means is told by [`Exit`].
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    if cli.check.asked() {
        let mut settings = Settings::open(&cli.sources);
        Config::from(&mut settings);
        return Ok(cli.check.print(settings));
    }
    let Some(command) = cli.command else {
        return Err(Failure::BadInput("no command was given: see `producer --help`".to_owned()));
    };
    if let Command::Schema { what } = command {
        return schema::run(what.unwrap_or_default());
    }
    if let Command::Admin(args) = &command {
        let done = admin::run(args, &cli.sources).await;
        return done.map(|()| Exit::Done).map_err(|error| match Exit::of(&error) {
            Exit::BadInput => Failure::BadInput(format!("{error:#}")),
            _ => Failure::Failed(error),
        });
    }
    if let Command::Run = command {
        let config = Config::read(&cli.sources)?;
        config.base.telemetry.start();
        let database = Database::new(&config.base.database.clone().by_index(), "producer")?;
        crate::run(config, database).await?;
        return Ok(Exit::Done);
    }
    if let Command::Schedule(command) = &command
        && let Some(answer) = schedule::run_alone(command)
    {
        return answer;
    }
    let config = Base::read(&cli.sources)?;
    config.telemetry.start();
    let database = Database::new(&config.database, "producer")?;
    match command {
        Command::Run | Command::Admin(_) | Command::Schema { .. } => Ok(Exit::Done),
        Command::Migrate => migrate::run(&database).await,
        Command::Apply(args) => apply::run(&database, &args).await,
        Command::Export(args) => export::run(&database, &args).await,
        Command::Enqueue(args) => enqueue::run(&database, args).await,
        Command::Target(command) => target::run(&database, command).await,
        Command::Limits(command) => limits::run(&database, command).await,
        Command::Pools(command) => pools::run(&database, command).await,
        Command::Schedule(command) => schedule::run(&database, command).await,
        Command::Token(command) => token::run(&database, command).await,
        Command::Tasks(command) => tasks::run(&database, command).await,
        Command::Alerts(command) => alerts::run(&database, command).await,
        Command::Dead(command) => dead::run(&database, &config, command).await,
    }
}

/// Who decides, in the records of what commands did.
fn operator() -> String {
    settings::user().unwrap_or_else(|| enqueue::REQUESTED_BY.to_owned())
}

/// As [`operator`], for the audit.
fn actor() -> Actor {
    Actor { name: operator(), token: None }
}
