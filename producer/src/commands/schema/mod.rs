//! `producer schema ..`

mod asyncapi;

use anyhow::Context as _;
use serde_json::{Value, json};
use shared::settings::Settings;
use shared::settings::document::Part;
use shared::{message, metric};

use super::{Exit, Failure, shown};
use crate::config::Config;
use crate::definitions::schema::schema;

#[derive(Debug, Clone, Copy, Default, clap::Subcommand)]
pub(super) enum Command {
    /// Prints the JSON Schema of definition files, for editors
    #[default]
    Definitions,
    /// Prints the JSON Schema of the messages by which other systems ask for work
    Message,
    /// Prints the AsyncAPI document of the exchange and the queues that other systems use
    #[command(name = "asyncapi")]
    AsyncApi,
    /// Prints the OpenAPI document of the commands over HTTP
    #[command(name = "openapi")]
    OpenApi,
    /// Prints what this program measures, with labels and meanings
    Metrics,
    /// Prints what the producer's settings are, for the document of all programs
    Configuration,
}

pub(super) fn run(command: Command) -> Result<Exit, Failure> {
    let document: Value = match command {
        Command::Definitions => schema().to_value(),
        Command::Message => message::schema::message(),
        Command::AsyncApi => asyncapi::document(),
        Command::Configuration => {
            let mut settings = Settings::nothing();
            Config::from(&mut settings);
            json!(Part::new("producer", settings))
        }
        Command::OpenApi => crate::api::openapi::whole(),
        Command::Metrics => metric::document(),
    };
    shown::print(&serde_json::to_string_pretty(&document).context("printing the schema")?)?;
    Ok(Exit::Done)
}
