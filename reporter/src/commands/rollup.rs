//! `reporter rollup`: whether the rollups are what the attempts say, and counting them again.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use shared::db::Database;
use shared::db::rollup::{Difference, Sums};
use shared::terminal;

use super::{moment, print, print_json};
use crate::rollup::{Checked, check, rebuild};

/// The rollups are not what the attempts say.
const DIFFERENT: u8 = 1;

/// What is asked.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Compares the rollups with the attempts that are still there; exits with 1 if anything differs
    Check {
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Counts all days again whose attempts are still there, each in a transaction of its own
    Rebuild {
        /// Prints JSON; how far it is goes to standard error
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
///
/// # Errors
/// The database failed.
pub async fn run(database: &Database, action: &Action) -> anyhow::Result<ExitCode> {
    let mut client = database.client().await?;
    match action {
        Action::Check { json } => {
            let checked = check(&mut client).await?;
            if *json {
                print_json(&checked)?;
            } else {
                print(&text(&checked))?;
            }
            Ok(if checked.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
        }
        Action::Rebuild { json } => {
            let tell = |day: chrono::DateTime<chrono::Utc>, attempts| {
                eprintln!("{}: {attempts} attempts", day.date_naive());
            };
            let rebuilt = rebuild(&mut client, tell).await?;
            if *json {
                print_json(&rebuilt)?;
            } else {
                let renumbered = if rebuilt.renumbered > 0 {
                    format!("; {} came from another server and were numbered anew", rebuilt.renumbered)
                } else {
                    String::new()
                };
                print(&format!(
                    "counted {} days with {} attempts again{renumbered}",
                    rebuilt.days, rebuilt.attempts
                ))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn text(checked: &Checked) -> String {
    let Checked { rolled_up_to, rolled_up_at, whole_since, differences, .. } = checked;
    let since = whole_since.map(|since| format!(", compared from {} on", moment(since))).unwrap_or_default();
    let mut text = format!(
        "{} attempts rolled up, to transaction {rolled_up_to} at {}{since}\n",
        differences.attempts,
        moment(*rolled_up_at)
    );
    if checked.of_another_server {
        text.push_str(
            "this server has not had that transaction yet, as after a dump was restored: nothing is rolled up until \
             `reporter rollup rebuild` was run\n",
        );
    }
    // Writing into a string cannot fail.
    _ = match differences.rows {
        0 => writeln!(text, "no difference"),
        rows => writeln!(text, "{rows} differences\n\n{}", table(&differences.first)),
    };
    let more = differences.rows - differences.first.len() as u64;
    if more > 0 {
        _ = writeln!(text, "and {more} more");
    }
    text
}

fn table(differences: &[Difference]) -> comfy_table::Table {
    let mut table = terminal::table(&[
        "span",
        "at",
        "job",
        "kind",
        "outcome",
        "target",
        "class",
        "rolled up",
        "recounted",
    ]);
    for difference in differences {
        let optional = |name: &Option<String>| name.clone().unwrap_or_default();
        let (rolled_up, recounted) = (difference.rolled_up, difference.recounted);
        table.add_row([
            difference.span.clone(),
            moment(difference.at),
            optional(&difference.job),
            difference.kind.clone(),
            difference.outcome.clone(),
            optional(&difference.target),
            difference.duration_class.to_string(),
            told(rolled_up, recounted),
            told(recounted, rolled_up),
        ]);
    }
    table
}

/// One side: how many attempts, and of the other sums those that the other side says differently.
fn told(sums: Option<Sums>, other: Option<Sums>) -> String {
    let Some(sums) = sums else { return "none".to_owned() };
    let parts = |sums: Sums| {
        [
            ("µs", sums.microseconds),
            ("bytes", sums.bytes),
            ("bytes added", sums.bytes_added),
            ("files", sums.files),
            ("source errors", sums.source_errors),
        ]
    };
    let mut told = vec![format!("{} attempts", sums.attempts)];
    if let Some(other) = other {
        let different = parts(sums).into_iter().zip(parts(other)).filter(|(own, other)| own != other);
        told.extend(different.map(|((name, sum), _)| format!("{sum} {name}")));
    }
    told.join(", ")
}
