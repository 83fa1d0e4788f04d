//! `reporter db advise`: what would help.

use std::fmt::Write as _;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use comfy_table::{Cell, Color};
use shared::db::Database;
use shared::db::care::bloat::Basis;
use shared::lifecycle::Signals;
use shared::terminal;
use tokio_util::sync::CancellationToken;

use super::super::{moment, print, print_json};
use crate::advice::{self, Figure, Findings, Kind, Look, Unit};

/// Something would help.
const ADVICE: u8 = 1;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Calls an index unused only when the server has counted for so long
    #[arg(long, value_name = "TIME", default_value = "7d")]
    counted_for: humantime::Duration,
    /// Builds each index that is missing, measures what it changes, and drops it again
    #[arg(long = "try")]
    tries: bool,
    /// How long --try waits for somebody else who works on the same table
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "tries")]
    patience: humantime::Duration,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Prints what would help; the exit code says whether there is anything.
///
/// # Errors
/// The database's; or it was interrupted.
pub(super) async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let tries = args.tries.then(|| args.patience.into());
    let findings = find(database, Look { counted_for: args.counted_for.into(), tries }).await?;
    if args.json {
        print_json(&findings)?;
    } else {
        print(&text(&findings))?;
    }
    Ok(if findings.advice.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(ADVICE) })
}

/// An interrupt ends what is tried, and it is dropped before the program ends; another one ends the program at once.
async fn find(database: &Database, look: Look) -> anyhow::Result<Findings> {
    let cancel = CancellationToken::new();
    let mut finding = pin!(advice::find(database, look, &cancel));
    let mut signals = Signals::new().context("installing the signal handlers")?;
    tokio::select! {
        findings = &mut finding => return findings,
        _ = signals.next() => cancel.cancel(),
    }
    if look.tries.is_none() {
        bail!("interrupted");
    }
    tokio::select! {
        findings = finding => findings,
        _ = signals.next() => bail!("interrupted twice: an index that was tried may be left; the next --try drops it"),
    }
}

fn text(findings: &Findings) -> String {
    let mut text = String::new();
    if findings.advice.is_empty() {
        text.push_str("nothing to do");
    } else {
        let mut table = terminal::table(&["what", "where", "before", "after"]);
        for advice in &findings.advice {
            let after = advice.after.as_ref().map_or_else(|| "unknown: --try".to_owned(), shown);
            let after = if advice.kind == Kind::OldStatistics { "-".to_owned() } else { after };
            table.add_row([
                Cell::new(advice.kind.words()).fg(Color::Yellow),
                Cell::new(&advice.object),
                Cell::new(shown(&advice.before)),
                Cell::new(after),
            ]);
        }
        _ = writeln!(text, "{table}\n");
        for advice in &findings.advice {
            _ = writeln!(
                text,
                "{} {}: {}\n    {}",
                advice.kind.words(),
                advice.object,
                advice.why,
                advice.remedy
            );
        }
    }
    _ = write!(text, "\nused and read: counted by the server since {}", moment(findings.counted_since));
    for note in &findings.notes {
        _ = write!(text, "\n{note}");
    }
    text
}

fn shown(figure: &Figure) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "sizes and counts are far below 2^63")]
    let whole = figure.value as i64;
    let value = match figure.unit {
        Unit::Bytes => terminal::bytes(whole),
        Unit::Rows => format!("{whole} rows"),
        Unit::Cost => format!("cost {:.1}", figure.value),
    };
    match figure.basis {
        Basis::Measured | Basis::Planned => value,
        Basis::Estimated => format!("{value} (estimated)"),
    }
}
