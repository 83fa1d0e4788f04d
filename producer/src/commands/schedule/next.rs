//! `producer schedule next`

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use shared::clock;
use shared::db::{Database, schedule};
use shared::schedule::{Cron, Schedule, When};
use shared::task::TaskKind;

use crate::commands::{Exit, Failure, shown};
use crate::operations::schedules;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("of").required(true).args(["cron", "job"]))]
pub(in crate::commands) struct Args {
    /// A cron expression of five or six fields, or a nickname such as @daily
    #[arg(long)]
    cron: Option<Cron>,
    /// A job that has a schedule
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// What the job's schedule enqueues
    #[arg(long, default_value = "backup", requires = "job")]
    kind: TaskKind,
    /// The time zone of the expression, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", conflicts_with = "job", value_parser = timezone)]
    timezone: Option<Tz>,
    /// Only times after this one, such as 2026-11-23T02:00:00Z; now by default
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// How many
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
}

fn timezone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "it is no time zone such as Europe/Berlin or UTC".to_owned())
}

impl Args {
    /// The schedule of an expression, for which no database is needed.
    fn of_expression(&self) -> Option<Schedule> {
        let cron = self.cron.clone()?;
        Some(Schedule::new(When::Cron(cron), self.timezone.unwrap_or_default()))
    }
}

/// Answers without a database; `None` where it takes one.
pub(super) fn run_alone(args: &Args) -> Option<Result<Exit, Failure>> {
    args.of_expression().map(|spec| print(&spec, args))
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let spec = match args.of_expression() {
        Some(spec) => spec,
        None => of_job(database, args.kind, args.job.as_deref().unwrap_or_default()).await?,
    };
    print(&spec, args)
}

fn print(spec: &Schedule, args: &Args) -> Result<Exit, Failure> {
    let first = spec.next(args.from.unwrap_or_else(clock::now));
    let times = std::iter::successors(first, |due| spec.next(*due))
        .take(usize::try_from(args.count).unwrap_or(usize::MAX));
    let lines: Vec<String> = times
        .map(|due| due.with_timezone(&spec.timezone).to_rfc3339_opts(SecondsFormat::Secs, true))
        .collect();
    shown::print(&lines.join("\n"))?;
    Ok(Exit::Done)
}

async fn of_job(database: &Database, kind: TaskKind, job: &str) -> Result<Schedule, Failure> {
    let client = database.client().await?;
    let stored =
        schedule::all(&client).await?.into_iter().find(|stored| stored.kind == kind && stored.name == job);
    match stored {
        Some(stored) => Ok(stored.spec),
        None => Err(schedules::missing(&client, schedules::Which { kind, name: job }).await?.into()),
    }
}
