//! `producer apply FILE..`

mod told;

use std::path::PathBuf;

use serde_json::json;
use shared::db::Database;

use super::progress::Progress;
use super::{Exit, Failure, actor, shown};
use crate::apply::{Plan, Refused, Removals, Stored, Warning};
use crate::definitions::{Definitions, Problem};
use told::Told;

/// How many warnings are printed: of thousands of jobs with the same targets each has the same to say.
const WARNINGS: usize = 50;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// YAML files with `targets:`, `jobs:`, `limits:`, `reports:`, `alerts:`, `maintenance:`, `channels:` and `routes:`; `producer
    /// schema` describes them to editors
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Shows the same and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Takes away what is stored and the files do not name. History stays, and comes back with what it is of
    #[arg(long)]
    prune: bool,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let mut progress = Progress::new();
    progress.show("reading the files");
    let definitions = Definitions::read(&args.files);
    progress.show("comparing them with what is stored");
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let stored = Stored::lock(&transaction).await?;
    let removals = if args.prune { Removals::unnamed(&definitions, &stored) } else { Removals::default() };
    let planned = Plan::of(&transaction, &definitions, &removals, &stored).await;
    progress.clear();
    let plan = match planned {
        Ok(plan) => plan,
        Err(Refused::Problems(problems)) => {
            print_problems(&problems, args.json)?;
            return Ok(Exit::BadInput);
        }
        Err(Refused::Failed(error)) => return Err(error.into()),
    };
    if !args.dry_run {
        progress.show("writing the difference");
        let applied = plan.apply(&transaction, &actor()).await;
        progress.clear();
        applied?;
        transaction.commit().await?;
    }
    let told = Told::of(&plan);
    if args.json {
        shown::print_json(&told)?;
    } else {
        shown::print(&told.text())?;
    }
    print_warnings(&plan.warnings);
    if args.dry_run {
        eprintln!("nothing was written: this was a dry run");
    }
    Ok(Exit::Done)
}

fn print_warnings(warnings: &[Warning]) {
    for Warning { origin, message, .. } in warnings.iter().take(WARNINGS) {
        eprintln!("warning: {origin}: {message}");
    }
    let more = warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        eprintln!("warning: {more} more like these: --json has all of them");
    }
}

fn print_problems(problems: &[Problem], json: bool) -> Result<(), Failure> {
    if json {
        shown::print_json(&json!({ "problems": problems }))?;
    }
    for problem in problems {
        eprintln!("{problem}");
    }
    eprintln!("nothing was applied: {} found", count(problems.len()));
    Ok(())
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}
