//! `producer schema ..`

mod asyncapi;

use serde_json::Value;
use shared::message;

use super::{Exit, Failure};

#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(super) enum Command {
    /// Prints the JSON Schema of the messages by which other systems ask for work
    Message,
    /// Prints the AsyncAPI document of the exchange and the queues that other systems use
    #[command(name = "asyncapi")]
    AsyncApi,
}

pub(super) fn run(command: Command) -> Result<Exit, Failure> {
    let document: Value = match command {
        Command::Message => message::schema::message(),
        Command::AsyncApi => asyncapi::document(),
    };
    println!("{}", serde_json::to_string_pretty(&document).map_err(anyhow::Error::new)?);
    Ok(Exit::Done)
}
