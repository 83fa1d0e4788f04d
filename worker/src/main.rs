//! The worker's program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::db::Database;
use shared::settings::Sources;
use worker::commands::pools::{self, PoolsArgs};
use worker::commands::restore::{self, RestoreArgs};
use worker::config::Config;

/// Runs backup tasks
#[derive(Parser)]
#[command(name = "worker", version)]
struct Cli {
    #[command(flatten)]
    sources: Sources,
    #[command(subcommand)]
    command: Command,
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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Exec = cli.command {
        return worker::engine::child::main();
    }
    if let Command::Schema(Schema::Metrics) = cli.command {
        println!("{:#}", shared::metric::document());
        return ExitCode::SUCCESS;
    }
    let config = match Config::read(&cli.sources) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    config.telemetry.start();
    match run(cli.command, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
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
        Command::Run | Command::Exec | Command::Schema(_) => worker::run(config).await,
    }
}
