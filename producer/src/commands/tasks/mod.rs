//! `producer tasks ..`

mod cancel;
mod list;
mod show;

use shared::db::Database;

use super::{Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows what runs and what waits
    List(list::Args),
    /// Shows all that is known about one task: where it is, what it needs, and each of its attempts
    Show(show::Args),
    /// Ends tasks: what waits is taken out at once, what runs is ended by its worker within seconds
    Cancel(cancel::Args),
}

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list::run(database, args).await,
        Command::Show(args) => show::run(database, &args).await,
        Command::Cancel(args) => cancel::run(database, &args).await,
    }
}
