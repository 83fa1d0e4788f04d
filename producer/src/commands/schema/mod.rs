//! `producer schema ..`

use anyhow::Context as _;

use super::{Exit, Failure, shown};
use crate::definitions::schema::schema;

#[derive(Debug, Clone, Copy, Default, clap::Subcommand)]
pub(super) enum Command {
    /// Prints the JSON Schema of definition files, for editors
    #[default]
    Definitions,
}

pub(super) fn run(command: Command) -> Result<Exit, Failure> {
    let document = match command {
        Command::Definitions => schema(),
    };
    shown::print(&serde_json::to_string_pretty(&document).context("printing the schema")?)?;
    Ok(Exit::Done)
}
