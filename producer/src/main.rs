//! The producer's program.

use std::process::ExitCode;

use clap::Parser as _;
use producer::commands::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    match commands::run(Cli::parse()).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("producer: {failure}");
            failure.exit().into()
        }
    }
}
