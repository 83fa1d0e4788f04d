//! `reporter schema ..`

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;
use shared::metric;
use shared::settings::Settings;
use shared::settings::document::{self, Part};

use super::print_json;
use crate::api;
use crate::config::Config;

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
    /// Prints what the settings of the programs are
    Configuration {
        /// With what another program's `schema configuration` has printed into this file
        #[arg(long, value_name = "FILE")]
        with: Vec<PathBuf>,
        /// As what
        #[arg(long, value_enum, default_value = "json")]
        form: Form,
    },
}

/// As what settings are printed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Form {
    /// As the other programs print theirs
    Json,
    /// docs/configuration.md
    Page,
    /// docs/holdfast.example.toml
    Example,
    /// The keys, one a line
    Names,
}

/// Prints it.
///
/// # Errors
/// The other document cannot be read, or does not fit.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::OpenApi { merge } => print_json(&openapi(merge.as_ref())?)?,
        Command::Metrics => print_json(&metric::document())?,
        Command::Configuration { with, form } => configuration(with, *form)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn openapi(merge: Option<&PathBuf>) -> anyhow::Result<Value> {
    match merge {
        None => Ok(api::described()),
        Some(path) => {
            let mut text = String::new();
            if path.as_os_str() == "-" {
                std::io::stdin().read_to_string(&mut text).context("standard input")?;
            } else {
                text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            }
            api::merged(&serde_json::from_str(&text).with_context(|| path.display().to_string())?)
        }
    }
}

fn configuration(with: &[PathBuf], form: Form) -> anyhow::Result<()> {
    let mut settings = Settings::nothing();
    Config::from(&mut settings);
    let own = Part::new("reporter", settings);
    let mut parts = Vec::new();
    for path in with {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        parts.push(serde_json::from_str::<Part>(&text).with_context(|| path.display().to_string())?);
    }
    match form {
        Form::Json => return print_json(&own),
        Form::Page | Form::Example | Form::Names => parts.push(own),
    }
    let text = match form {
        Form::Page => document::page(&parts),
        Form::Example => document::example(&parts),
        Form::Json | Form::Names => document::names(&parts),
    };
    print!("{text}");
    Ok(())
}
