//! `producer export`

use anyhow::Context as _;
use deadpool_postgres::tokio_postgres::IsolationLevel;
use shared::db::Database;
use shared::job::JobName;

use super::{Exit, Failure, shown};
use crate::apply::Stored;
use crate::definitions::written::{self, File};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// These jobs alone
    #[arg(long = "job", value_name = "NAME", num_args = 1..)]
    jobs: Vec<JobName>,
    /// Writes JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    // All of it as of one moment.
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let stored = Stored::read(&snapshot.start().await?).await?;
    let file = if args.jobs.is_empty() { stored.written() } else { some(&stored, &args.jobs)? };
    let text = if args.json {
        written::json(&file).context("writing JSON")?
    } else {
        written::yaml(&file).context("writing YAML")?
    };
    shown::print(&text)?;
    Ok(Exit::Done)
}

fn some(stored: &Stored, names: &[JobName]) -> Result<File, Failure> {
    let job = |name: &JobName| {
        let job = stored.jobs.get(name).map(|stored| written::Job::from(&stored.job));
        job.ok_or_else(|| Failure::BadInput(format!("no job is named \"{name}\"")))
    };
    Ok(File { jobs: names.iter().map(job).collect::<Result<_, _>>()?, ..File::default() })
}
