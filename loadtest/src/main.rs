//! Loads Holdfast and measures what it does.

mod fleet;
mod throughput;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Loads Holdfast and measures what it does, on private servers
#[derive(Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
    /// Also writes the figures to a file
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Scenario {
    /// Simulated tasks of no duration, published with confirms while workers run
    Throughput(throughput::Throughput),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let Scenario::Throughput(throughput) = cli.scenario;
    match throughput.run(cli.json.as_deref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
