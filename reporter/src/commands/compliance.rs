//! `reporter compliance`: each job's five verdicts, and the restore points behind them.

use std::fmt::Write as _;
use std::process::ExitCode;

use comfy_table::{Cell, Color, Table};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use shared::compliance::{Answer, Verdict};
use shared::db::compliance::{JobVerdicts, verdicts};
use shared::db::restore_point::{Listed, newest_of_each};
use shared::db::{Database, job};
use shared::exit::BadInput;
use shared::job::JobName;
use shared::terminal;

use super::{moment, print, print_json};

/// Not all jobs comply.
const NOT_COMPLIANT: u8 = 1;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shows one job only
    #[arg(long, value_name = "NAME")]
    job: Option<JobName>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Answers {
    jobs: Vec<JobAnswers>,
}

#[derive(Debug, Serialize)]
struct JobAnswers {
    #[serde(flatten)]
    judged: JobVerdicts,
    restore_points: Vec<Listed>,
}

/// Prints the verdicts; the exit code says whether all jobs comply.
///
/// # Errors
/// No active job has the name, or the database failed.
pub async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    if let Some(name) = &args.job {
        ensure_judged(&client, name).await?;
    }
    let answers = read(&client, args.job.as_ref()).await?;
    if args.json {
        print_json(&answers)?;
    } else {
        print(&text(&answers))?;
    }
    // Without a job nothing was shown to comply: a check against an empty or wrong database must not be green.
    let compliant = !answers.jobs.is_empty() && answers.jobs.iter().all(|job| job.judged.compliant);
    Ok(if compliant { ExitCode::SUCCESS } else { ExitCode::from(NOT_COMPLIANT) })
}

async fn ensure_judged<C: GenericClient>(client: &C, name: &JobName) -> anyhow::Result<()> {
    let found = job::resolve(client, &[name]).await?;
    match found.get(name) {
        None | Some(job::Reference { removed: true, .. }) => {
            anyhow::bail!(BadInput(format!("no job is named {name}")))
        }
        Some(job) => anyhow::ensure!(
            job.active,
            BadInput(format!("the job {name} is not active, so it is not judged"))
        ),
    }
    Ok(())
}

async fn read<C: GenericClient>(client: &C, job: Option<&JobName>) -> anyhow::Result<Answers> {
    let mut points = newest_of_each(client, job).await?;
    let jobs = verdicts(client, job).await?.into_iter().map(|judged| {
        let restore_points = points.extract_if(.., |point| point.job == judged.job).collect();
        JobAnswers { judged, restore_points }
    });
    Ok(Answers { jobs: jobs.collect() })
}

fn text(answers: &Answers) -> String {
    if answers.jobs.is_empty() {
        return "there is no active job".to_owned();
    }
    let compliant = answers.jobs.iter().filter(|job| job.judged.compliant).count();
    let mut text =
        format!("{compliant} of {} jobs comply\n\n{}\n", answers.jobs.len(), verdict_table(answers));
    if answers.jobs.iter().any(|job| !job.restore_points.is_empty()) {
        _ = write!(text, "\nnewest restore points\n{}\n", point_table(answers));
    }
    text
}

fn verdict_table(answers: &Answers) -> Table {
    let mut table = terminal::table(&["job", "rule", "answer", "reason", "evidence", "expires"]);
    for JobAnswers { judged, .. } in &answers.jobs {
        if judged.verdicts.is_empty() {
            table.add_row([judged.job.as_str(), "", "", "not judged yet", "0", ""]);
        }
        for (position, verdict) in judged.verdicts.iter().enumerate() {
            let job = if position == 0 { judged.job.as_str() } else { "" };
            table.add_row(verdict_row(job, verdict));
        }
    }
    table
}

fn verdict_row(job: &str, verdict: &Verdict) -> [Cell; 6] {
    [
        Cell::new(job),
        Cell::new(verdict.rule),
        Cell::new(verdict.answer).fg(colour(verdict.answer)),
        Cell::new(&verdict.reason),
        Cell::new(verdict.evidence.len()),
        Cell::new(verdict.expires_at.map(moment).unwrap_or_default()),
    ]
}

fn colour(answer: Answer) -> Color {
    match answer {
        Answer::Pass => Color::Green,
        Answer::Warning | Answer::Unknown => Color::Yellow,
        Answer::Fail => Color::Red,
    }
}

fn point_table(answers: &Answers) -> Table {
    let mut table =
        terminal::table(&["job", "target", "snapshot", "data of", "files", "size", "added", "took"]);
    for point in answers.jobs.iter().flat_map(|job| &job.restore_points) {
        table.add_row([
            point.job.clone(),
            if point.reported { format!("{} (reported)", point.target) } else { point.target.clone() },
            point.snapshot.chars().take(8).collect(),
            moment(point.data_time),
            point.files.to_string(),
            terminal::bytes(point.bytes),
            terminal::bytes(point.bytes_added),
            terminal::seconds(point.seconds),
        ]);
    }
    table
}
