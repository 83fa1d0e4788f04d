//! `reporter alerts`: what is wrong, and what was.

use std::fmt::Write as _;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use comfy_table::{Cell, Color, Table};
use serde::Serialize;
use shared::alert::{AlertId, Severity, State};
use shared::db::alert::{Alert, Filter};
use shared::db::alert_event::Event;
use shared::db::notification::{self, OfAlert};
use shared::db::{Database, alert, alert_event, job};
use shared::exit::BadInput;
use shared::job::JobName;
use shared::terminal;

use super::{line, moment, print, print_json};

/// Something critical is open, and nobody has said that they know, or do not want to be told.
const CRITICAL: u8 = 1;
/// No more alerts are listed than these.
const LISTED: i64 = 1_000;

/// What is asked.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows alerts, the worst first; exits with 1 if one that is critical is open, neither acknowledged nor suppressed
    List(List),
    /// Shows one alert with its history
    Show {
        /// Its number
        id: i64,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which alerts.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Shows also those that are over
    #[arg(long)]
    all: bool,
    /// Shows those in this state only, whatever it is
    #[arg(long, conflicts_with = "all")]
    state: Option<State>,
    /// Shows those about one job only
    #[arg(long, value_name = "NAME")]
    job: Option<JobName>,
    /// Shows those that are at least as bad as this
    #[arg(long)]
    severity: Option<Severity>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Prints alerts.
///
/// # Errors
/// No job or no alert is called so, or the database failed.
pub async fn run(database: &Database, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(database, args).await,
        Command::Show { id, json } => show(database, AlertId(*id), *json).await,
    }
}

#[derive(Debug, Serialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

async fn list(database: &Database, args: &List) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    if let Some(name) = &args.job {
        anyhow::ensure!(
            job::resolve(&client, &[name]).await?.contains_key(name),
            BadInput(format!("no job is named {name}"))
        );
    }
    let states = match (args.state, args.all) {
        (Some(state), _) => vec![state],
        (None, true) => Vec::new(),
        (None, false) => vec![State::Pending, State::Open],
    };
    let filter = Filter { states, job: args.job.clone(), severity: args.severity, jobs: None };
    let alerts = alert::list(&client, &filter, LISTED).await?;
    let is_critical = alerts.iter().any(demands_attention);
    if args.json {
        print_json(&Alerts { alerts })?;
    } else {
        print(&text(&alerts))?;
    }
    Ok(if is_critical { ExitCode::from(CRITICAL) } else { ExitCode::SUCCESS })
}

fn demands_attention(Alert { about, life, .. }: &Alert) -> bool {
    about.severity == Severity::Critical
        && life.state == State::Open
        && life.acknowledged.is_none()
        && life.suppressed_by.is_none()
}

fn text(alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "there is no such alert".to_owned();
    }
    let mut table =
        terminal::table(&["alert", "rule", "severity", "state", "since", "summary", "not told because"]);
    for alert in alerts {
        add(&mut table, alert);
    }
    let mut text = table.to_string();
    if i64::try_from(alerts.len()).is_ok_and(|listed| listed >= LISTED) {
        _ = write!(text, "\n{LISTED} are listed at most");
    }
    text
}

fn add(table: &mut Table, Alert { id, about, life }: &Alert) {
    table.add_row([
        Cell::new(id),
        Cell::new(about.rule),
        Cell::new(about.severity).fg(colour(about.severity)),
        Cell::new(life.state),
        Cell::new(moment(life.since)),
        Cell::new(line(&about.summary)),
        Cell::new(line(&untold(life))),
    ]);
}

/// What keeps people from being told, or told again.
fn untold(life: &alert::Life) -> String {
    let acknowledged = life.acknowledged.as_ref().map(|known| {
        let until = known.until.map(|until| format!(" until {}", moment(until)));
        format!("{} knows{}", known.by, until.unwrap_or_default())
    });
    let suppressed = life.suppressed_by.as_ref().map(ToString::to_string);
    [suppressed, acknowledged].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

const fn colour(severity: Severity) -> Color {
    match severity {
        Severity::Critical => Color::Red,
        Severity::Warning => Color::Yellow,
        Severity::Info => Color::Cyan,
    }
}

#[derive(Debug, Serialize)]
struct WithHistory {
    #[serde(flatten)]
    alert: Alert,
    events: Vec<At>,
    notifications: Vec<OfAlert>,
}

#[derive(Debug, Serialize)]
struct At {
    at: DateTime<Utc>,
    #[serde(flatten)]
    event: Event,
}

async fn show(database: &Database, id: AlertId, as_json: bool) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    let found = alert::by_id(&client, id).await?;
    let Some(alert) = found else { anyhow::bail!(BadInput(format!("no alert has the number {id}"))) };
    let events = alert_event::of_alert(&client, id).await?;
    let events: Vec<At> = events.into_iter().map(|(at, event)| At { at, event }).collect();
    let notifications = notification::of_alert(&client, id, LISTED).await?;
    if as_json {
        print_json(&WithHistory { alert, events, notifications })?;
    } else {
        print(&format!("{}\n\n{}", history(&alert, &events), tellings(&notifications)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn history(alert: &Alert, events: &[At]) -> String {
    let Alert { about, life, .. } = alert;
    let mut text =
        format!("{} ({}, {})\n{}\n", line(&about.cause), about.severity, life.state, line(&about.summary));
    if let Some(detail) = &about.detail {
        _ = writeln!(text, "{}", line(detail));
    }
    let untold = untold(life);
    if !untold.is_empty() {
        _ = writeln!(text, "{}", line(&untold));
    }
    let mut table = terminal::table(&["at", "what", "severity", "summary", "by", "note", "not told because"]);
    for At { at, event } in events {
        let shown = |text: &Option<String>| line(text.as_deref().unwrap_or_default());
        table.add_row([
            moment(*at),
            event.transition.to_string(),
            event.severity.to_string(),
            line(&event.summary),
            shown(&event.by),
            shown(&event.note),
            event.suppressed_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    _ = write!(text, "\n{table}");
    text
}

/// What channels were told of it.
fn tellings(notifications: &[OfAlert]) -> String {
    if notifications.is_empty() {
        return "nobody was told".to_owned();
    }
    let mut table = terminal::table(&["notification", "channel", "tells", "state", "since"]);
    for OfAlert { id, channel, told, state, created_at } in notifications {
        table.add_row([
            id.to_string(),
            line(channel),
            told.to_string(),
            state.to_string(),
            moment(*created_at),
        ]);
    }
    table.to_string()
}
