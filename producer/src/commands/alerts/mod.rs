//! `producer alerts ..`

mod silence;

use shared::alert::{AlertId, SilenceId};
use shared::db::Database;

use super::{Exit, Failure, actor};
use crate::operations::alerts::{self, Acknowledgement};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Writes down that you know about an open alert; `reporter alerts list` shows their numbers
    Ack(Ack),
    /// Writes down that nobody knows about an alert any more
    Unack {
        /// The alert's number
        id: i64,
    },
    /// Has nobody told of the alerts that match all that is given, from now on
    Silence(silence::Args),
    /// Shows the silences that are not over
    Silences {
        /// Prints a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Ends a silence before its time
    Unsilence {
        /// The silence's number
        id: i64,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Ack {
    /// The alert's number
    id: i64,
    /// What you have to say about it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// For how long, such as 4h; otherwise until the alert is over or gets worse
    #[arg(long, value_name = "LENGTH")]
    until: Option<humantime::Duration>,
}

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ack(args) => acknowledge(database, &args).await,
        Command::Unack { id } => unacknowledge(database, AlertId(id)).await,
        Command::Silence(args) => silence::run(database, args).await,
        Command::Silences { json } => silence::list(database, json).await,
        Command::Unsilence { id } => unsilence(database, SilenceId(id)).await,
    }
}

async fn acknowledge(database: &Database, args: &Ack) -> Result<Exit, Failure> {
    let known = Acknowledgement { note: args.note.as_deref(), lasts: args.until.map(Into::into) };
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    alerts::acknowledge(&transaction, AlertId(args.id), known, &actor()).await?;
    transaction.commit().await?;
    shared::say!("alert {} is acknowledged", args.id);
    Ok(Exit::Done)
}

async fn unacknowledge(database: &Database, id: AlertId) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    alerts::unacknowledge(&transaction, id, &actor()).await?;
    transaction.commit().await?;
    shared::say!("alert {id} is not acknowledged any more");
    Ok(Exit::Done)
}

async fn unsilence(database: &Database, id: SilenceId) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    alerts::unsilence(&transaction, id, &actor()).await?;
    transaction.commit().await?;
    shared::say!("silence {id} is over");
    Ok(Exit::Done)
}
