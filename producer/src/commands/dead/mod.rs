//! `producer dead ..`
//!
//! Two things can be dead. A *dead task* was accepted and will not be tried again by itself: a row. A *dead letter* is
//! a message that could not be accepted: it lies in the broker's queue `holdfast.dead`. The commands treat both alike.

mod filters;
mod letter;
mod letters;

mod list;
mod show;

mod decide;
mod discard;
mod replay;

use shared::db::Database;

use super::{Exit, Failure};
use crate::config::Base;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows dead tasks, and beneath them dead letters
    ///
    /// A dead task was accepted and will not be tried again by itself. A dead letter is a message that could not be
    /// accepted; it lies in the broker's queue holdfast.dead. Reading letters takes none of them away.
    List(list::Args),
    /// Shows all that is known about a dead task or a dead letter
    Show(show::Args),
    /// Does dead tasks again as new tasks, and queues dead letters again
    ///
    /// A dead task is done again under a new id, by a task with the same job and params. A dead letter is read again,
    /// for example because its job exists now: its task is queued under the id that it came with.
    Replay(decide::Selection),
    /// Writes down that nobody wants dead tasks any more, and removes dead letters
    ///
    /// A dead task stays on record, as dropped, for 90 days. A dead letter is gone for good: it is logged first.
    Drop(decide::Selection),
}

pub(super) async fn run(database: &Database, config: &Base, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list::run(database, config, &args).await,
        Command::Show(args) => show::run(database, config, &args).await,
        Command::Replay(selection) => decide::run(database, config, &selection, decide::Deed::Replay).await,
        Command::Drop(selection) => decide::run(database, config, &selection, decide::Deed::Drop).await,
    }
}
