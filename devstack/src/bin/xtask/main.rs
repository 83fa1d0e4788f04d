//! `cargo xtask`: what a developer does with this repository, each in one command.

mod cargo;
mod checkout;
mod report;
mod stopped;

mod demo;
mod faults;
mod npm;
mod pip;
mod setup;
mod test;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
#[command(about = "Private servers, tests and set-up for developers of Holdfast")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find PostgreSQL, RabbitMQ and what the tests need, or install them; exit code 2 when only you can
    Setup,
    /// Back up, copy, verify, take away, restore, compare and judge: all that Holdfast does, as a show
    Demo(demo::Arguments),
    /// Run private servers until Ctrl-C, and write their addresses to a file
    Up(up::Arguments),
    /// Run all that CI runs: format, lints, licences, every test against private servers
    Test(test::Arguments),
    /// Break what can break, against private servers: exit code 1 if anything was lost, doubled or stale
    #[command(disable_help_flag = true)]
    Faults(faults::Arguments),
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::failure(&error.into()),
    };
    let finished = runtime.block_on(async {
        match Arguments::parse().command {
            Command::Setup => setup::run(),
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Up(arguments) => up::run(arguments).await,
            Command::Test(arguments) => test::run(arguments).await,
            Command::Faults(arguments) => faults::run(arguments).await,
        }
    });
    finished.unwrap_or_else(|error| report::failure(&error))
}
