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
    /// A job or a report that has a schedule, or the full name of one of its schedules such as docs/read/disk-a
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// What the schedule enqueues; of a job's name, its backups, and else what the name belongs to
    #[arg(long, requires = "job")]
    kind: Option<TaskKind>,
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
    args.of_expression().map(|spec| print(&[(String::new(), spec)], args))
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let schedules = match args.of_expression() {
        Some(spec) => vec![(String::new(), spec)],
        None => named(database, args.kind, args.job.as_deref().unwrap_or_default()).await?,
    };
    print(&schedules, args)
}

fn print(schedules: &[(String, Schedule)], args: &Args) -> Result<Exit, Failure> {
    let from = args.from.unwrap_or_else(clock::now);
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    let mut times: Vec<(DateTime<Utc>, String)> = Vec::new();
    for (name, spec) in schedules {
        // Of several, each is told by its name.
        let name = if schedules.len() > 1 { format!(" {name}") } else { String::new() };
        let due = std::iter::successors(spec.next(from), |due| spec.next(*due));
        times.extend(due.take(count).map(|due| (due, format!("{}{name}", shown_in(due, spec.timezone)))));
    }
    times.sort();
    let lines: Vec<String> = times.into_iter().take(count).map(|(_, line)| line).collect();
    shown::print(&lines.join("\n"))?;
    Ok(Exit::Done)
}

fn shown_in(due: DateTime<Utc>, timezone: Tz) -> String {
    due.with_timezone(&timezone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The schedule of a name, or all that a job of that name has.
async fn named(
    database: &Database,
    said: Option<TaskKind>,
    name: &str,
) -> Result<Vec<(String, Schedule)>, Failure> {
    let client = database.client().await?;
    let kind = super::kind(&client, name, said).await?;
    let all = schedule::of_kind(&client, kind).await?.into_iter();
    let named = all.filter(|stored| stored.is_named(name));
    let named: Vec<(String, Schedule)> = named.map(|stored| (stored.name, stored.spec)).collect();
    if named.is_empty() {
        return Err(schedules::missing(&client, schedules::Which { kind, name }).await?.into());
    }
    Ok(named)
}
