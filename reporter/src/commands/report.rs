//! `reporter report`: the reports that were made.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{Cell, CellAlignment};
use deadpool_postgres::GenericClient;
use shared::db::report::{self, Report};
use shared::db::{self, Database};
use shared::exit::BadInput;
use shared::terminal;
use shared::work::{ReportFormat, ReportKind};
use uuid::Uuid;

use super::{moment, print, print_json};

/// There is no such report.
const NONE: u8 = 1;
/// So many are listed at most.
const MOST: u16 = 1000;

/// What is asked.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    newest: Newest,
}

/// The newest report of a kind, whole.
#[derive(Debug, clap::Args)]
struct Newest {
    /// Which report
    #[arg(long, default_value = "daily")]
    kind: ReportKind,
    #[command(flatten)]
    file: File,
}

/// What is written where.
#[derive(Debug, clap::Args)]
struct File {
    /// html for people, pdf for paper, csv for spreadsheets, json for programs
    #[arg(long, default_value = "html")]
    format: ReportFormat,
    /// Writes it to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists reports, the newest first
    List(List),
    /// Shows what a report says in short, and the hashes of its files; exits with 1 if there is none
    Show(Show),
    /// Writes a report as it was made; exits with 1 if there is none
    Save(Save),
}

#[derive(Debug, clap::Args)]
struct List {
    /// daily, weekly, monthly, compliance or audit
    #[arg(long)]
    kind: Option<ReportKind>,
    /// Only those that were made before this one
    #[arg(long, value_name = "ID")]
    before: Option<Uuid>,
    /// So many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    limit: u16,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Its id; the newest of a kind without
    id: Option<Uuid>,
    /// Of which the newest is meant
    #[arg(long, default_value = "daily", conflicts_with = "id")]
    kind: ReportKind,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Save {
    /// Its id; the newest of a kind without
    id: Option<Uuid>,
    /// Of which the newest is meant
    #[arg(long, default_value = "daily", conflicts_with = "id")]
    kind: ReportKind,
    #[command(flatten)]
    file: File,
}

/// Does it.
///
/// # Errors
/// The database failed, or the file cannot be written.
pub async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    match &args.command {
        None => save(&client, None, args.newest.kind, &args.newest.file).await,
        Some(Command::List(list)) => self::list(&client, list).await,
        Some(Command::Show(show)) => self::show(&client, show).await,
        Some(Command::Save(args)) => save(&client, args.id, args.kind, &args.file).await,
    }
}

async fn find<C: GenericClient>(
    client: &C,
    id: Option<Uuid>,
    kind: ReportKind,
) -> Result<Option<Report>, db::Error> {
    let found = match id {
        Some(id) => report::by_id(client, id).await?,
        None => report::newest(client, kind).await?,
    };
    match (&found, id) {
        (Some(_), _) => {}
        (None, Some(id)) => {
            eprintln!("no report has the id {id}: they are kept for {} days", report::DAYS_KEPT);
        }
        (None, None) => eprintln!(
            "there is no {kind} report about all jobs yet; a worker makes one when asked: producer enqueue report --param report={kind} --wait"
        ),
    }
    Ok(found)
}

async fn save<C: GenericClient>(
    client: &C,
    id: Option<Uuid>,
    kind: ReportKind,
    File { format, out }: &File,
) -> anyhow::Result<ExitCode> {
    let Some(found) = find(client, id, kind).await? else { return Ok(ExitCode::from(NONE)) };
    let Some(file) = report::file(client, found.id, *format).await? else {
        eprintln!("the report {} was not written as {format}: an earlier version made it", found.id);
        return Ok(ExitCode::from(NONE));
    };
    match out {
        Some(path) => std::fs::write(path, file.content).with_context(|| path.display().to_string())?,
        None => terminal::write(&file.content)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list<C: GenericClient>(client: &C, args: &List) -> anyhow::Result<ExitCode> {
    let after = match args.before {
        Some(id) => match report::by_id(client, id).await? {
            Some(report) => Some((report.created_at, report.id)),
            None => anyhow::bail!(BadInput(format!("no report has the id {id}"))),
        },
        None => None,
    };
    let listed = report::list(client, args.kind, after, i64::from(args.limit)).await?;
    if args.json {
        print_json(&listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    if listed.is_empty() {
        print("there is no report")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = terminal::table(&["id", "kind", "made", "covers", "about", "size", "says"]);
    for report in &listed {
        let size = report.files.iter().map(|file| file.bytes).sum();
        table.add_row([
            Cell::new(report.id),
            Cell::new(report.kind),
            Cell::new(moment(report.created_at)),
            Cell::new(covers(report)),
            Cell::new(shown(&about(report))),
            Cell::new(terminal::bytes(size)).set_alignment(CellAlignment::Right),
            Cell::new(shown(&report.headline)),
        ]);
    }
    print(&table.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn show<C: GenericClient>(client: &C, args: &Show) -> anyhow::Result<ExitCode> {
    let Some(report) = find(client, args.id, args.kind).await? else { return Ok(ExitCode::from(NONE)) };
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = terminal::table(&["format", "bytes", "sha256"]);
    for file in &report.files {
        let bytes = Cell::new(file.bytes).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(file.format), bytes, Cell::new(&file.sha256)]);
    }
    let about = about(&report);
    let about = if about.is_empty() { String::new() } else { format!(", {about}") };
    print(&format!(
        "{}{about}\nreport {}, made at {}, by the task {}\n\n{}\n\n{table}",
        shown(&report.title),
        report.id,
        moment(report.created_at),
        report.task,
        report.summary.lines().map(shown).collect::<Vec<_>>().join("\n"),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Its first and its last day.
fn covers(report: &Report) -> String {
    let first = report.period_start.date_naive();
    let last = (report.period_end - chrono::TimeDelta::seconds(1)).date_naive();
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

fn about(report: &Report) -> String {
    let job = report.job.as_ref().map(|job| format!("job {job}"));
    let owner = report.owner.as_ref().map(|owner| format!("jobs of {owner}"));
    job.into_iter().chain(owner).collect::<Vec<_>>().join(", ")
}

/// Without what could steer the terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
