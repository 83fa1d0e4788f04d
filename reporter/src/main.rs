//! The reporter's program: configuration, logging, one command, an exit code.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use reporter::commands::{alerts, compliance, db, figures, notifications, report, rollup, schema, status};
use reporter::config::{Base, Config};
use shared::admin::command::{self as admin, AdminArgs};
use shared::db::Database;
use shared::exit::{BadInput, Exit};
use shared::settings::check::Check;
use shared::settings::{Settings, Sources};

/// Answers what was backed up, and whether it follows the 3-2-1-1-0 rule
#[derive(Debug, Parser)]
#[command(name = "reporter", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    check: Check,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service: reads over HTTP, metrics, health, rollups, verdicts whose evidence expires, alerts, notifications
    Run,
    /// Looks into a reporter that runs on this machine, or changes what it logs
    Admin(AdminArgs),
    /// Shows what waits, what runs and what came of it
    Status(status::Args),
    /// Shows each job's verdicts; exits with 1 unless all jobs comply
    Compliance(compliance::Args),
    /// Shows what the last day, week and month of backups come to
    Figures(figures::Args),
    /// Shows what is wrong, and what was
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// Writes the newest report, or lists, shows and saves reports; exits with 1 if there is none
    Report(report::Args),
    /// Looks after the rollups that the figures are made of
    #[command(subcommand)]
    Rollup(rollup::Action),
    /// Shows how the database is, how statements are planned, and what would help
    #[command(subcommand)]
    Db(db::Command),
    /// Prints documents: of what can be read over HTTP, and of the settings
    #[command(subcommand)]
    Schema(schema::Command),
    /// Shows what was told of alerts by which channels, and tries channels out
    #[command(subcommand)]
    Notifications(notifications::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.check.asked() {
        let mut settings = Settings::open(&cli.sources);
        Config::from(&mut settings);
        return cli.check.print(settings).into();
    }
    let Some(command) = cli.command else {
        eprintln!("no command was given: see `reporter --help`");
        return Exit::BadInput.into();
    };
    match execute(command, &cli.sources).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::of(&error).into()
        }
    }
}

async fn execute(command: Command, sources: &Sources) -> anyhow::Result<ExitCode> {
    if matches!(command, Command::Run) {
        let config = Config::read(sources)?;
        config.base.telemetry.start();
        reporter::run(config).await.context("reporter")?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Admin(args) = &command {
        admin::run(args, sources).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Schema(command) = command {
        // Whatever is wrong is wrong with what it was given.
        return schema::run(&command).map_err(|error| BadInput(format!("{error:#}")).into());
    }
    let base = Base::read(sources)?;
    base.telemetry.start();
    let database = Database::new(&base.database, "reporter")?;
    match command {
        Command::Status(args) => status::run(&database, &args).await,
        Command::Compliance(args) => compliance::run(&database, &args).await,
        Command::Figures(args) => figures::run(&database, &args).await,
        Command::Alerts(command) => alerts::run(&database, &command).await,
        Command::Report(args) => report::run(&database, &args).await,
        Command::Rollup(action) => rollup::run(&database, &action).await,
        Command::Db(command) => db::run(&database, &command).await,
        Command::Notifications(command) => notifications::run(&database, &base.trust, &command).await,
        Command::Run | Command::Admin(_) | Command::Schema(_) => Ok(ExitCode::SUCCESS),
    }
}
