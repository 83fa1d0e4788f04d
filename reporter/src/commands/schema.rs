//! `reporter schema ..`

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;
use shared::metric;

use super::print_json;
use crate::api;

/// What is printed.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Prints the OpenAPI document of what can be read over HTTP
    #[command(name = "openapi")]
    OpenApi {
        /// With what this document describes beside it, such as the one of `producer schema openapi`; - reads standard input
        #[arg(long, value_name = "FILE")]
        merge: Option<PathBuf>,
    },
    /// Prints what this program measures, with labels and meanings
    Metrics,
}

/// Prints it.
///
/// # Errors
/// The other document cannot be read, or does not fit.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let document = match command {
        Command::OpenApi { merge: None } => api::described(),
        Command::OpenApi { merge: Some(path) } => merged(path)?,
        Command::Metrics => metric::document(),
    };
    print_json(&document)?;
    Ok(ExitCode::SUCCESS)
}

fn merged(path: &Path) -> anyhow::Result<Value> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    }
    api::merged(&serde_json::from_str(&text).with_context(|| path.display().to_string())?)
}
