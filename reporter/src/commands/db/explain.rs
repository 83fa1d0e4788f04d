//! `reporter db explain`: the plan of a named statement.

use std::process::ExitCode;

use serde::Serialize;
use shared::db::Database;
use shared::db::statement::plan::{self, Form, Plan};
use shared::db::statement::{self, Statement};
use shared::exit::BadInput;

use super::super::{print, print_json};

/// Names that are shown where one is unknown.
const NEAREST: usize = 3;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A statement, such as `task.take_due`; all names are listed without one
    name: Option<String>,
    /// Plans as sessions of workers and producers do: by an index wherever there is one
    #[arg(long, requires = "name")]
    by_index: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Explained<'a> {
    statement: &'a str,
    text: &'a str,
    #[serde(flatten)]
    plan: Plan,
}

/// Prints a plan, or the names.
///
/// # Errors
/// The database's, or a name that nothing has.
pub(super) async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let all = statement::all();
    let Some(name) = &args.name else {
        let names: Vec<&str> = all.iter().map(|statement| statement.name()).collect();
        if args.json {
            print_json(&names)?;
        } else {
            print(&names.join("\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(statement) = all.iter().find(|statement| statement.name() == name) else {
        anyhow::bail!(BadInput(format!(
            "no statement is named {name}; the nearest are {}",
            nearest(name, &all).join(", ")
        )));
    };
    let session = plan::session(database).await?;
    if args.by_index {
        session.batch_execute("set enable_seqscan = off").await?;
    }
    let form = if args.json { Form::Json } else { Form::Text };
    let plan = plan::explain_on(&session, statement, form).await?;
    if args.json {
        print_json(&Explained { statement: name, text: statement.text(), plan })?;
        return Ok(ExitCode::SUCCESS);
    }
    let given: Vec<String> = (1..).zip(&plan.parameters).map(|(n, kind)| format!("${n} {kind}")).collect();
    let given = if given.is_empty() { "nothing".to_owned() } else { given.join(", ") };
    print(&format!("{}\n\ngiven: {given}\n\n{}", statement.text(), plan.text()))?;
    Ok(ExitCode::SUCCESS)
}

fn nearest<'a>(name: &str, all: &[&'a Statement]) -> Vec<&'a str> {
    let mut names: Vec<&str> = all.iter().map(|statement| statement.name()).collect();
    names.sort_by_key(|known| strsim::damerau_levenshtein(name, known));
    names.truncate(NEAREST);
    names
}
