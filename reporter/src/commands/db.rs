//! `reporter db`: how the database is, how statements are planned, and what would help.

mod advise;
mod explain;
mod stats;

use std::process::ExitCode;

use shared::db::Database;

/// What is asked of the database itself.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows sizes, dead rows, indexes, sessions and the statements that take the most time
    Stats(stats::Args),
    /// Shows how the server would run a statement, without running it; without a name, lists the statements
    Explain(explain::Args),
    /// Shows what would help, with figures before and after; exits with 1 if there is anything
    Advise(advise::Args),
}

/// Answers one question.
///
/// # Errors
/// The database's, or a name that nothing has.
pub async fn run(database: &Database, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Stats(args) => stats::run(database, args).await,
        Command::Explain(args) => explain::run(database, args).await,
        Command::Advise(args) => advise::run(database, args).await,
    }
}
