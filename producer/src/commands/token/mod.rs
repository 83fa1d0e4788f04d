//! `producer token ..`

mod list;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret as _;
use serde_json::json;
use shared::access::{Holder, Role};
use shared::db::api_token::New;
use shared::db::{self, Database};

use super::{Exit, Failure, actor, shown};
use crate::operations::tokens;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a token, and shows it this once
    Create(Create),
    /// Shows all tokens, without their secrets
    List {
        /// Prints a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Ends a token at once
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What to call it: who uses it, and what for
    name: String,
    /// viewer, operator or admin
    #[arg(long)]
    role: Role,
    /// Another system holds it: it may make 6000 requests a minute, and not 60
    #[arg(long)]
    machine: bool,
    /// How long it is good, such as 90d; until it is revoked when absent
    #[arg(long, value_name = "TIME")]
    expires_in: Option<humantime::Duration>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &Database, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Create(args) => create(database, &args).await,
        Command::List { json } => list::run(database, json).await,
        Command::Revoke { name } => revoke(database, &name).await,
    }
}

async fn create(database: &Database, args: &Create) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let expires_at = match args.expires_in {
        Some(after) => Some(expiry(db::now(&transaction).await?, after.into())?),
        None => None,
    };
    let actor = actor();
    let holder = if args.machine { Holder::Machine } else { Holder::Person };
    let new = New { name: &args.name, role: args.role, holder, expires_at, by: &actor.name };
    let bearer = tokens::create(&transaction, &new, &actor).await?;
    transaction.commit().await?;
    let token = bearer.expose();
    if args.json {
        let answer = json!({
            "id": bearer.id, "name": args.name, "role": args.role, "holder": holder, "expires_at": expires_at,
            "token": token.expose_secret(),
        });
        shown::print_json(&answer)?;
    } else {
        shown::print(token.expose_secret())?;
        eprintln!("this is the only time that it is shown: only its hash is stored");
    }
    Ok(Exit::Done)
}

fn expiry(now: DateTime<Utc>, after: Duration) -> Result<DateTime<Utc>, Failure> {
    let after = TimeDelta::from_std(after).ok();
    let expiry = after.and_then(|after| now.checked_add_signed(after));
    expiry.ok_or_else(|| Failure::BadInput("--expires-in: is beyond the calendar".to_owned()))
}

async fn revoke(database: &Database, name: &str) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let token = tokens::revoke(&transaction, name, &actor()).await?;
    transaction.commit().await?;
    shared::say!("{name} ({}) is revoked", token.id);
    Ok(Exit::Done)
}
