//! `cargo xtask faults`: brings faults about, and says whether anything was lost, doubled or stale.
//!
//! The scenarios are the tests' own, and the tests know this crate: their program is run, not called.

use std::process::ExitCode;

use crate::{cargo::Cargo, checkout, setup, stopped::Stop};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Names of faults such as T1, `--full`, `--json FILE`, `--list`; `--help` says more
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    if let Some(code) = setup::ensure()? {
        return Ok(code);
    }
    let mut cargo = Cargo { root: checkout::root()?, stop: &mut stop };
    let build = ["build", "--workspace", "--bins"];
    if let Some(code) = cargo.run("Building", "the services", &build, &[]).await? {
        return Ok(code);
    }
    let mut run = vec!["run", "--quiet", "--package", "tests", "--bin", "faults", "--"];
    run.extend(arguments.arguments.iter().map(String::as_str));
    Ok(cargo.run("Breaking", "what can break", &run, &[]).await?.unwrap_or(ExitCode::SUCCESS))
}
