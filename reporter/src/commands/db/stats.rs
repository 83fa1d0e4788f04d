//! `reporter db stats`: how the database is.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::db::care::index::State as Index;
use shared::db::care::server::{Counted, Sessions, Usage};
use shared::db::care::table::State as Table;
use shared::db::care::{index, server, table};
use shared::db::session::{self, Blocked, OldTransaction};
use shared::db::{self, Database};
use shared::terminal;
use shared::work::maintain;

use super::super::{moment, print, print_json};

/// Indexes and statements that are shown.
const SHOWN: usize = 20;
/// How to have the server count statements.
const HOW_TO_COUNT: &str = "the server does not count statements: add pg_stat_statements to shared_preload_libraries, restart it, \
     and run `create extension pg_stat_statements` as its superuser. What our own processes measured is in their metrics \
     (holdfast_statement_seconds)";

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shows all tables, indexes and statements
    #[arg(long)]
    all: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Stats {
    at: DateTime<Utc>,
    usage: Usage,
    tables: Vec<Table>,
    indexes: Vec<Index>,
    sessions: Vec<Sessions>,
    oldest_transaction: Option<Oldest>,
    waiting_for_locks: Option<Waiting>,
    /// `null` where the server does not count them.
    statements: Option<Vec<Counted>>,
}

#[derive(Debug, Serialize)]
struct Oldest {
    program: String,
    role: String,
    state: String,
    pid: i32,
    began_at: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
struct Waiting {
    sessions: i64,
    since: DateTime<Utc>,
    blockers: Vec<i32>,
}

/// Prints how the database is.
///
/// # Errors
/// The database's.
pub(super) async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    let oldest = session::oldest_transaction(&client, Duration::ZERO).await?;
    let blocked = session::blocked(&client, Duration::ZERO).await?;
    let mut stats = Stats {
        at: db::now(&client).await?,
        usage: server::usage(&client).await?,
        tables: table::states(&client, maintain::Table::ALL).await?,
        indexes: index::states(&client, maintain::Table::ALL).await?,
        sessions: server::sessions(&client).await?,
        oldest_transaction: oldest.map(|oldest| {
            let OldTransaction { pid, program, role, state, began_at } = oldest;
            Oldest { program, role, state, pid, began_at }
        }),
        waiting_for_locks: blocked.map(|blocked| {
            let Blocked { sessions, since, blockers } = blocked;
            Waiting { sessions, since, blockers }
        }),
        statements: server::statements(&client, i64::try_from(SHOWN)?).await?,
    };
    if args.json {
        print_json(&stats)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.all {
        stats.tables.truncate(SHOWN);
        stats.indexes.truncate(SHOWN);
    }
    print(&text(&stats))?;
    Ok(ExitCode::SUCCESS)
}

fn text(stats: &Stats) -> String {
    let Stats { usage, .. } = stats;
    let mut text = format!(
        "PostgreSQL {}, database {}; counted since {}\nfound in cache: {}; spilled to disk: {}; deadlocks: {}\n\n",
        usage.version,
        terminal::bytes(usage.bytes),
        moment(usage.counted_since),
        usage.cache_hits.map_or_else(|| "-".to_owned(), |hits| format!("{:.1} %", 100.0 * hits)),
        terminal::bytes(usage.spilled_bytes),
        usage.deadlocks
    );
    _ = writeln!(text, "{}\n\n{}\n\n{}\n", tables(stats), indexes(stats), sessions(stats));
    match &stats.oldest_transaction {
        Some(oldest) => {
            _ = writeln!(
                text,
                "oldest transaction: {} ({}, process {}), {}, open for {}",
                oldest.program,
                oldest.role,
                oldest.pid,
                oldest.state,
                ago(oldest.began_at, stats.at)
            );
        }
        None => text.push_str("no transaction is open\n"),
    }
    if let Some(waiting) = &stats.waiting_for_locks {
        let blockers: Vec<String> = waiting.blockers.iter().map(ToString::to_string).collect();
        _ = writeln!(
            text,
            "waiting for locks: {} for {}, held by the server's processes {}",
            waiting.sessions,
            ago(waiting.since, stats.at),
            blockers.join(", ")
        );
    }
    match &stats.statements {
        Some(counted) => _ = writeln!(text, "\n{}", statements(counted)),
        None => _ = writeln!(text, "\n{HOW_TO_COUNT}"),
    }
    text
}

fn tables(stats: &Stats) -> String {
    let mut table =
        terminal::table(&["table", "size", "indexes", "rows", "dead", "vacuumed", "analyzed", "read whole"]);
    for state in &stats.tables {
        table.add_row([
            state.name.clone(),
            terminal::bytes(state.bytes),
            terminal::bytes(state.index_bytes),
            state.rows.to_string(),
            format!("{} ({:.0} %)", state.dead_rows, 100.0 * state.dead_share()),
            state.vacuumed_at.map_or_else(|| "-".to_owned(), |at| ago(at, stats.at)),
            state.analyzed_at.map_or_else(|| "-".to_owned(), |at| ago(at, stats.at)),
            state.scans.to_string(),
        ]);
    }
    table.to_string()
}

fn indexes(stats: &Stats) -> String {
    let mut table = terminal::table(&["index", "of", "size", "used"]);
    for index in &stats.indexes {
        let used = if index.valid { index.scans.to_string() } else { "invalid".to_owned() };
        table.add_row([index.name.clone(), index.of.clone(), terminal::bytes(index.bytes), used]);
    }
    table.to_string()
}

fn sessions(stats: &Stats) -> String {
    let mut table = terminal::table(&["program", "state", "sessions", "wait for locks", "longest"]);
    for group in &stats.sessions {
        table.add_row([
            group.program.clone(),
            group.state.clone(),
            group.sessions.to_string(),
            group.waiting_for_locks.to_string(),
            terminal::seconds(group.longest_seconds),
        ]);
    }
    let used: i64 = stats.sessions.iter().map(|group| group.sessions).sum();
    format!("{table}\n{used} of {} sessions", stats.usage.most_sessions)
}

fn statements(counted: &[Counted]) -> String {
    let mut table = terminal::table(&["statement", "calls", "total", "mean", "longest", "rows a call"]);
    for statement in counted {
        table.add_row([
            statement.statement.clone(),
            statement.calls.to_string(),
            terminal::seconds(statement.total_seconds),
            format!("{:.2} ms", statement.mean_milliseconds),
            format!("{:.2} ms", statement.longest_milliseconds),
            format!("{:.1}", statement.rows_per_call),
        ]);
    }
    table.to_string()
}

fn ago(moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
    terminal::seconds((now - moment).as_seconds_f64().max(0.0))
}
