//! `producer dead show ID`

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use shared::broker::Delivered;
use shared::clock;
use shared::db::Database;
use shared::message::MAX_BYTES;
use shared::task::TaskId;
use uuid::Uuid;

use super::letter::Letter;
use super::letters::Letters;
use crate::commands::life::{Life, aligned};
use crate::commands::{Exit, Failure, shown};
use crate::config::Base;

/// The most of a body that people are shown, in characters.
const BODY: usize = 4000;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// A dead task's or a dead letter's id
    id: String,
    /// Looks only among the dead letters
    #[arg(long)]
    letters: bool,
    /// Looks only among the dead tasks; the broker is not asked
    #[arg(long, conflicts_with = "letters")]
    tasks: bool,
    /// Prints one JSON object; one a line where several letters have the id
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &Database, base: &Base, args: &Args) -> Result<Exit, Failure> {
    if let Some(life) = task(database, args).await? {
        if args.json {
            shown::print_json(&life)?;
        } else {
            shown::print(&life.text())?;
        }
        return Ok(Exit::Done);
    }
    let shown = if args.tasks { 0 } else { letters(base, args).await? };
    if shown == 0 {
        return Err(unknown(std::slice::from_ref(&args.id)));
    }
    Ok(Exit::Done)
}

/// That ids are neither a dead task's nor a dead letter's.
pub(super) fn unknown(ids: &[String]) -> Failure {
    let ids: Vec<String> = ids.iter().map(|id| shown::line(id, shown::CELL)).collect();
    Failure::BadInput(format!(
        "no dead task or letter has the id {}: see `producer dead list`",
        ids.join(", ")
    ))
}

async fn task(database: &Database, args: &Args) -> Result<Option<Life>, Failure> {
    match args.id.parse::<Uuid>() {
        Ok(id) if !args.letters => Ok(Life::read(database, TaskId(id)).await?.filter(Life::is_dead)),
        _ => Ok(None),
    }
}

async fn letters(base: &Base, args: &Args) -> Result<usize, Failure> {
    let mut letters = Letters::open(base).await?;
    let (now, mut shown) = (clock::now(), 0);
    while let Some((letter, delivered)) = letters.next().await? {
        if letter.id == args.id {
            shown += 1;
            if args.json {
                shown::print_json(&object(&letter, &delivered))?;
            } else {
                shown::print(&text(&letter, &delivered, now))?;
            }
        }
    }
    letters.close().await?;
    Ok(shown)
}

fn object(letter: &Letter, delivered: &Delivered) -> Value {
    let mut object = match json!(letter) {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object.insert("headers".to_owned(), Value::Object(delivered.headers.clone()));
    let body = &delivered.body[..delivered.body.len().min(MAX_BYTES)];
    object.insert("body".to_owned(), json!(String::from_utf8_lossy(body)));
    Value::Object(object)
}

fn text(letter: &Letter, delivered: &Delivered, now: DateTime<Utc>) -> String {
    let cell = |text: Option<&String>| shown::line(text.map_or("", String::as_str), BODY);
    let mut text = aligned(&[
        ("letter", letter.id.clone()),
        ("reason", cell(letter.reason.as_ref())),
        ("detail", cell(letter.detail.as_ref())),
        ("from", cell(letter.queue.as_ref())),
        ("died", letter.died_at.map(|died| shown::moment_ago(died, now)).unwrap_or_default()),
        ("size", format!("{} bytes", letter.bytes)),
    ]);
    _ = writeln!(text, "\nheaders");
    for (name, value) in &delivered.headers {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        _ = writeln!(text, "  {}: {}", shown::line(name, shown::CELL), shown::line(&value, BODY));
    }
    // A line break is as good as any other control character at hiding something.
    let start = &delivered.body[..delivered.body.len().min(4 * BODY)];
    _ = writeln!(text, "\nbody\n{}", shown::line(&String::from_utf8_lossy(start), BODY));
    text
}
