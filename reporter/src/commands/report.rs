//! `reporter report`: the newest report that was made.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use shared::db::{Database, report};
use shared::work::ReportKind;

use super::print;

/// No report was made yet.
const NONE_YET: u8 = 1;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which report
    #[arg(long, default_value = "daily")]
    kind: ReportKind,
    /// A page for people, or the same facts for programs
    #[arg(long, value_enum, default_value = "html")]
    format: Format,
    /// Writes it to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Html,
    Json,
}

/// Writes the newest report.
///
/// # Errors
/// The database failed, or the file cannot be written.
pub async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    let Some(report) = report::newest(&client, args.kind).await? else {
        eprintln!(
            "there is no {} report yet; a worker makes one when asked: producer enqueue report --wait",
            args.kind
        );
        return Ok(ExitCode::from(NONE_YET));
    };
    let text = match args.format {
        Format::Html => report.html,
        Format::Json => serde_json::to_string_pretty(&report.content)?,
    };
    match &args.out {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string())?,
        None => print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}
