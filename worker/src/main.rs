//! The worker's program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::admin::command::{self as admin, AdminArgs};
use shared::db::Database;
use shared::exit::Exit;
use shared::settings::check::Check;
use shared::settings::document::Part;
use shared::settings::{Settings, Sources};
use worker::commands::pools::{self, PoolsArgs};
use worker::commands::restore::{self, RestoreArgs};
use worker::config::Config;

/// Runs backup tasks
#[derive(Parser)]
#[command(name = "worker", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    check: Check,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Takes tasks from the queues and runs them
    Run,
    /// Shows what applies to this worker's pools, and what their tasks wait for
    Pools(PoolsArgs),
    /// Restores a job's newest restore point on this machine, at once
    Restore(RestoreArgs),
    /// Prints documents about this program
    #[command(subcommand)]
    Schema(Schema),
    /// Looks into a worker that runs on this machine, or changes what it logs
    Admin(AdminArgs),
    /// Runs one engine operation for a worker (internal)
    #[command(hide = true)]
    Exec,
    /// Runs one claimed task in a process of its own for a worker (internal)
    #[command(hide = true)]
    Alone,
}

#[derive(Subcommand)]
enum Schema {
    /// Prints what this program measures, with labels and meanings
    Metrics,
    /// Prints what the worker's settings are, for the document of all programs
    Configuration,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.check.asked() {
        let mut settings = Settings::open(&cli.sources);
        Config::from(&mut settings, &cli.sources);
        return cli.check.print(settings).into();
    }
    let command = match cli.command {
        Some(Command::Exec) => return worker::engine::child::main(),
        Some(Command::Admin(args)) => return ask(&args, &cli.sources),
        Some(Command::Schema(Schema::Configuration)) => return describe(),
        Some(Command::Schema(Schema::Metrics)) => {
            shared::say!("{:#}", shared::metric::document());
            return Exit::Done.into();
        }
        Some(command) => command,
        None => {
            eprintln!("no command was given: see `worker --help`");
            return Exit::BadInput.into();
        }
    };
    let config = match Config::read(&cli.sources) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Exit::BadInput.into();
        }
    };
    config.telemetry.start();
    match run(command, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::of(&error).into()
        }
    }
}

fn describe() -> ExitCode {
    let mut settings = Settings::nothing();
    Config::from(&mut settings, &Sources::default());
    shared::say!("{}", serde_json::json!(Part::new("worker", settings)));
    Exit::Done.into()
}

#[tokio::main]
async fn ask(args: &AdminArgs, sources: &Sources) -> ExitCode {
    match admin::run(args, sources).await {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::of(&error).into()
        }
    }
}

#[tokio::main]
async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Restore(args) => {
            let database = Database::new(&config.database, "holdfast restore")?;
            restore::run(args, &database).await
        }
        Command::Pools(args) => {
            let database = Database::new(&config.database, "holdfast pools")?;
            pools::run(&args, &config, &database).await
        }
        Command::Alone => worker::quarantine::alone(config).await,
        Command::Run | Command::Exec | Command::Admin(_) | Command::Schema(_) => worker::run(config).await,
    }
}
