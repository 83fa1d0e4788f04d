//! Loads Holdfast and measures what it does.

mod all;
mod backups;
mod measure;
mod peers;
mod report;
mod scenarios;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::all::All;
use crate::backups::Alone;
use crate::measure::Machine;
use crate::report::Report;
use crate::scenarios::{
    Allowance, Builds, Definitions, Files, Growth, Http, Latency, Limits, Memory, Peers, Reports, Rollups,
    Scaling, Slots, Stress, Throughput,
};
use crate::system::{Servers, connect};

/// Loads Holdfast and measures what it does
///
/// Without URLs it starts private servers, whose data goes at the end. Every scenario checks that nothing was lost or
/// doubled. Figures are to be compared within one run only: times on shared machines drift.
#[derive(Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

#[derive(clap::Args)]
struct Options {
    /// Also writes the figures to a file, as JSON
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    /// Also puts the figures into a Markdown document, between `<!-- NAME: begin -->` and `<!-- NAME: end -->`
    #[arg(long, value_name = "FILE", global = true)]
    document: Option<PathBuf>,
    /// The part of the document; the scenario's name by default
    #[arg(long, value_name = "NAME", global = true, requires = "document")]
    part: Option<String>,
    /// Loads this database instead of a private one; it is migrated, and gets the load's jobs
    #[arg(long, value_name = "URL", global = true, requires = "amqp_url")]
    database_url: Option<String>,
    /// Uses this broker instead of a private one
    #[arg(long, value_name = "URL", global = true, requires = "database_url")]
    amqp_url: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(Scenario),
    /// Every scenario, one after the other, with the arguments that docs/benchmarks.md shows
    All(All),
    /// What `files` runs in a process of its own
    #[command(hide = true)]
    Alone(Alone),
}

#[derive(Subcommand)]
enum Scenario {
    /// Tasks a second through the whole pipeline, beside a bare loop that writes the same rows
    Throughput(Throughput),
    /// Tasks a second of several builds in turn: what a change is worth
    Builds(Builds),
    /// How soon tasks start and are committed, at a rate that waits for nothing
    Latency(Latency),
    /// How busy tasks that take a while keep the slots of some workers
    Slots(Slots),
    /// What limits cost: with thousands of limited keys, and beside a long line of tasks that wait for one
    Limits(Limits),
    /// What a fleet makes of what limits allow while workers come and go, and who of those that wait gets it
    Allowance(Allowance),
    /// How far a fleet scales: what workers cost while they are idle, and a day with an autoscaler in virtual time
    Fleet(Scaling),
    /// How soon a file of 10,000 jobs is applied, and all of them are enqueued when they are due at once
    Definitions(Definitions),
    /// What each process keeps in memory, at full rate and with a backlog
    Memory(Memory),
    /// Throughput, queries and indexes with a year of history, beside none
    Growth(Growth),
    /// How soon a reporter rolls up a backlog of attempts, in how much memory, and what new ones cost
    Rollups(Rollups),
    /// How long reports over a year and a thousand jobs take, and in how much memory
    Reports(Reports),
    /// Pages that people open of a reporter with 10,000 jobs and 10 million attempts, in an open loop; or a storm
    Http(Http),
    /// Backups of real files, beside `rustic_core` alone and the `restic` command line
    Files(Files),
    /// Many real backups that are asked for at once
    Stress(Stress),
    /// Beside another task queue: Celery, with like guarantees
    Peers(Peers),
}

impl Scenario {
    async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        match self {
            Self::Throughput(scenario) => scenario.run(servers).await,
            Self::Builds(scenario) => scenario.run(servers).await,
            Self::Latency(scenario) => scenario.run(servers).await,
            Self::Slots(scenario) => scenario.run(servers).await,
            Self::Limits(scenario) => scenario.run(servers).await,
            Self::Allowance(scenario) => scenario.run(servers).await,
            Self::Fleet(scenario) => scenario.run(servers).await,
            Self::Definitions(scenario) => scenario.run(servers).await,
            Self::Memory(scenario) => scenario.run(servers).await,
            Self::Growth(scenario) => scenario.run(servers).await,
            Self::Rollups(scenario) => scenario.run(servers).await,
            Self::Reports(scenario) => scenario.run(servers).await,
            Self::Http(scenario) => scenario.run(servers).await,
            Self::Files(scenario) => scenario.run(servers).await,
            Self::Stress(scenario) => scenario.run(servers).await,
            Self::Peers(scenario) => scenario.run(servers).await,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, options } = Cli::parse();
    let ended = match &command {
        Command::Scenario(scenario) => run(scenario, &options).await,
        Command::All(all) => all.run(&options),
        Command::Alone(alone) => alone.run(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(scenario: &Scenario, options: &Options) -> anyhow::Result<()> {
    let arguments = arguments();
    let part = options.part.as_deref().or_else(|| all::part(&arguments));
    // Before minutes of work, not after them.
    if let Some(document) = &options.document {
        Report::check(
            document,
            part.context("--part: these arguments make none of the document by themselves")?,
        )?;
    }
    if let Some(path) = &options.json {
        std::fs::File::options()
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("--json {}", path.display()))?;
    }
    let servers = unless_interrupted(async {
        match options.database_url.clone().zip(options.amqp_url.clone()) {
            Some((database_url, amqp_url)) => Servers::given(database_url, amqp_url).await,
            None => Servers::start().await,
        }
    });
    let servers = servers.await?;
    let found = unless_interrupted(async {
        let machine = Machine::look(servers.directory(), &connect(servers.database_url()).await?).await?;
        eprintln!("{machine}");
        Ok((scenario.run(&servers).await?, machine))
    });
    let found = found.await;
    // Whatever happened: the servers and their data go.
    let stopped = servers.stop().await;
    let (mut report, machine) = found?;
    stopped.context("stopping the servers")?;
    report.json["machine"] = serde_json::json!(machine);
    report.print();
    if let Some(path) = &options.json {
        report.write_json(path)?;
    }
    if let Some((document, part)) = options.document.as_ref().zip(part) {
        let how = format!(
            "`cargo run --release -p loadtest -- {}`, {}, on {machine}:",
            arguments.join(" "),
            shared::clock::now().format("%Y-%m-%d")
        );
        report.write_into(document, part, &how)?;
    }
    Ok(())
}

/// The work, or an error as soon as somebody wants it to end.
async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("interrupted"),
    }
}

/// What this program was asked to measure, without secrets: where figures go does not matter for what they are.
fn arguments() -> Vec<String> {
    let mut arguments = std::env::args().skip(1);
    let mut asked = Vec::new();
    while let Some(argument) = arguments.next() {
        let (name, value) =
            argument.split_once('=').map_or((argument.as_str(), None), |(name, value)| (name, Some(value)));
        match name {
            "--json" | "--document" | "--part" | "--plot" if value.is_none() => _ = arguments.next(),
            "--json" | "--document" | "--part" | "--plot" => {}
            // A password may stand in it.
            "--database-url" | "--amqp-url" => {
                if value.is_none() {
                    arguments.next();
                }
                asked.extend([name.to_owned(), "..".to_owned()]);
            }
            _ => asked.push(argument),
        }
    }
    asked
}
