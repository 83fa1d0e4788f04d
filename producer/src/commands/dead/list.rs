//! `producer dead list`

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::db::{Database, dead_task};
use shared::{clock, terminal};

use super::filters::Filters;
use super::letter::Letter;
use super::letters::Letters;
use crate::commands::life::Dead;
use crate::commands::{Exit, Failure, shown};
use crate::config::Base;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    #[command(flatten)]
    filters: Filters,
    /// Also dead tasks that were replayed or dropped
    #[arg(long)]
    all: bool,
    /// Shows no more than so many tasks and so many letters, the newest
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Prints one JSON object with the arrays tasks and letters
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Found {
    tasks: Vec<Dead>,
    letters: Vec<Letter>,
}

pub(super) async fn run(database: &Database, base: &Base, args: &Args) -> Result<Exit, Failure> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut found = Found::default();
    if let Some(filter) = args.filters.of_tasks() {
        let client = database.client().await?;
        let tasks = dead_task::list(&client, &filter, args.all, i64::from(args.limit) + 1).await?;
        found.tasks = tasks.into_iter().map(Dead::from).collect();
    }
    if args.filters.mean_letters() {
        found.letters = letters(base, &args.filters).await?;
    }
    let more = found.tasks.len() > limit || found.letters.len() > limit;
    found.tasks.truncate(limit);
    found.letters.truncate(limit);
    if args.json {
        shown::print_json(&found)?;
        return Ok(Exit::Done);
    }
    shown::print(&text(&found, args, clock::now()))?;
    if more {
        eprintln!("there are more: --limit shows them");
    }
    Ok(Exit::Done)
}

/// The letters that are meant, the newest first.
async fn letters(base: &Base, filters: &Filters) -> Result<Vec<Letter>, Failure> {
    let mut letters = Letters::open(base).await?;
    let now = clock::now();
    let mut found = Vec::new();
    while let Some((letter, _)) = letters.next().await? {
        if filters.match_letter(&letter, now) {
            found.push(letter);
        }
    }
    letters.close().await?;
    found.sort_by(|one, other| other.position().cmp(&one.position()));
    Ok(found)
}

fn text(found: &Found, args: &Args, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    if args.filters.of_tasks().is_some() {
        section(&mut text, "dead tasks", found.tasks.len(), &tasks_table(&found.tasks, args.all, now));
    }
    if args.filters.mean_letters() {
        section(&mut text, "dead letters", found.letters.len(), &letters_table(&found.letters, now));
    }
    text
}

fn section(text: &mut String, title: &str, rows: usize, table: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    _ = if rows == 0 { writeln!(text, "{title}: none") } else { writeln!(text, "{title}\n{table}") };
}

fn tasks_table(tasks: &[Dead], with_decision: bool, now: DateTime<Utc>) -> String {
    let mut headers = vec!["task", "kind", "job", "reason", "attempts", "died"];
    headers.extend(with_decision.then_some("decision"));
    headers.push("last error");
    let mut table = terminal::table(&headers);
    for task in tasks {
        let mut row = vec![
            task.id.to_string(),
            task.kind.to_string(),
            task.job.as_ref().map(ToString::to_string).unwrap_or_default(),
            task.reason.to_string(),
            task.attempts.to_string(),
            format!("{} ago", shown::age(task.died_at, now)),
        ];
        row.extend(with_decision.then(|| task.decision.to_string()));
        row.push(shown::line(&task.last_error, shown::CELL));
        table.add_row(row);
    }
    table.to_string()
}

fn letters_table(letters: &[Letter], now: DateTime<Utc>) -> String {
    let mut table = terminal::table(&["letter", "kind", "job", "reason", "died", "from", "detail"]);
    let cell = |text: Option<&String>| shown::line(text.map_or("", String::as_str), shown::CELL);
    for letter in letters {
        table.add_row([
            letter.id.clone(),
            cell(letter.kind.as_ref()),
            cell(letter.job.as_ref()),
            cell(letter.reason.as_ref()),
            letter.died_at.map(|died| format!("{} ago", shown::age(died, now))).unwrap_or_default(),
            cell(letter.queue.as_ref()),
            cell(letter.detail.as_ref()),
        ]);
    }
    table.to_string()
}
