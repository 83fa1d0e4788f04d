//! `reporter notifications`: what was told, what is to be, and whether a channel works.

use std::process::ExitCode;

use comfy_table::{Cell, Color, Table};
use serde::Serialize;
use shared::channel::ChannelName;
use shared::db::delivery::{self, Attempt, Outcome};
use shared::db::notification::{self, Filter, Listed, State};
use shared::db::{Database, channel};
use shared::exit::BadInput;
use shared::terminal;
use shared::tls::Trust;

use super::{line, moment, print, print_json};
use crate::notify::trial::{self, Trial};

/// The message did not arrive.
const NOT_DELIVERED: u8 = 1;
/// So many are listed at most.
const MOST: u16 = 1000;

/// What is asked.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists notifications, the newest first
    List(List),
    /// Sends a message that says that it is a test, and tells what came back; exits with 1 unless it was taken
    Test(Test),
}

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Those that are waiting, delivered or `given_up`
    #[arg(long)]
    state: Option<State>,
    /// Those by one channel
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
    /// So many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    limit: u16,
    /// Prints JSON, with every attempt
    #[arg(long)]
    json: bool,
}

/// What is tried.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// By which channel
    #[arg(long, value_name = "NAME")]
    channel: ChannelName,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Notification {
    #[serde(flatten)]
    listed: Listed,
    deliveries: Vec<Attempt>,
}

/// Does it.
///
/// # Errors
/// No channel has the name, or the database failed.
pub async fn run(database: &Database, trust: &Trust, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(list) => self::list(database, list).await,
        Command::Test(test) => self::test(database, trust, test).await,
    }
}

async fn list(database: &Database, args: &List) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    let filter = Filter { state: args.state, channel: args.channel.clone() };
    let listed = notification::newest(&client, &filter, i64::from(args.limit)).await?;
    if !args.json {
        print(&text(&listed))?;
        return Ok(ExitCode::SUCCESS);
    }
    let ids: Vec<_> = listed.iter().map(|listed| listed.id).collect();
    let mut deliveries = delivery::of(&client, &ids).await?;
    let notifications = listed.into_iter().map(|listed| {
        let deliveries = deliveries.extract_if(.., |attempt| attempt.notification == listed.id).collect();
        Notification { listed, deliveries }
    });
    print_json(&notifications.collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

fn text(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "there is no notification".to_owned();
    }
    let mut table =
        terminal::table(&["notification", "since", "channel", "state", "attempts", "tells", "next", "error"]);
    for notification in listed {
        add(&mut table, notification);
    }
    table.to_string()
}

fn add(table: &mut Table, notification: &Listed) {
    let said = |pointer: &str| {
        let first = notification.events.first().and_then(|event| event.pointer(pointer)?.as_str());
        first.unwrap_or_default().to_owned()
    };
    let more = notification.events.len().saturating_sub(1);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let tells = match &notification.report {
        Some(title) => format!("report: {title}"),
        None => {
            let tells = [said("/alert/rule"), said("/alert/subject"), said("/transition")];
            tells.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ") + &more
        }
    };
    table.add_row([
        Cell::new(notification.id),
        Cell::new(moment(notification.created_at)),
        Cell::new(&notification.channel),
        Cell::new(notification.state).fg(colour(notification.state)),
        Cell::new(notification.attempts),
        Cell::new(shown(&tells)),
        Cell::new(notification.next_at.map(moment).unwrap_or_default()),
        Cell::new(shown(notification.last_error.as_deref().unwrap_or_default())),
    ]);
}

fn colour(state: State) -> Color {
    match state {
        State::Delivered => Color::Green,
        State::Waiting => Color::Yellow,
        State::GivenUp => Color::Red,
    }
}

/// On one line, and not too long.
fn shown(text: &str) -> String {
    line(text).chars().take(100).collect()
}

async fn test(database: &Database, trust: &Trust, args: &Test) -> anyhow::Result<ExitCode> {
    let found = channel::by_name(&database.client().await?, &args.channel).await?;
    let Some(channel) = found else {
        anyhow::bail!(BadInput(format!("no channel is named {}", args.channel)))
    };
    let trial = trial::run(&channel, trust).await;
    if args.json {
        print_json(&trial)?;
    } else {
        print(&said(&trial))?;
    }
    Ok(if trial.outcome == Outcome::Delivered { ExitCode::SUCCESS } else { ExitCode::from(NOT_DELIVERED) })
}

fn said(trial: &Trial) -> String {
    let Trial { channel, kind, id, outcome, status, error } = trial;
    let status = status.map(|status| format!(" with {status}")).unwrap_or_default();
    let why = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{channel} ({kind}): {outcome}{status}{why}\nnotification {id}")
}
