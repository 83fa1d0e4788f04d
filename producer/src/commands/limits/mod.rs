//! `producer limits ..`

mod clear;
mod list;
pub(super) mod set;

use shared::db::Database;
use shared::limit::Key;

pub(super) use set::Asked;

use super::{Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows what is limited, how much of it is in use, and who waits for it
    List {
        /// Prints a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Limits a key from now on, in the place of what the definitions say, until it is cleared
    Set(set::Args),
    /// Has the definitions count again
    Clear {
        /// What is limited: `pool:KIND`, `target:NAME`, `source:FAILURE_DOMAIN` or `owner:NAME`
        key: Key,
        /// Takes away what the definitions say as well, once their files do not say it any more
        #[arg(long)]
        definitions: bool,
    },
}

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List { json } => list::run(database, json).await,
        Command::Set(args) => set::run(database, &args).await,
        Command::Clear { key, definitions } => clear::run(database, &key, definitions).await,
    }
}
