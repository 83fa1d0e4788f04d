//! `reporter figures`: what a day, a week and a month of backups come to.

mod text;

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use shared::db::recovery;
use shared::db::{self, Database, compliance_hour, job};
use shared::exit::BadInput;
use shared::figures::RecoveryPoints;
use shared::job::{JobId, JobName};

use super::{print, print_json};
use crate::figures::{self, Figures, PERIODS, Period};

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
struct Answer {
    job: Option<JobName>,
    /// The share of the active jobs that comply now, 0 to 1.
    compliance_now: Option<f64>,
    periods: Vec<OfPeriod>,
}

#[derive(Debug, Serialize)]
struct OfPeriod {
    period: &'static str,
    since: DateTime<Utc>,
    #[serde(flatten)]
    figures: Figures,
    /// The mean share of the active jobs that complied, 0 to 1; of all jobs only.
    compliance_mean: Option<f64>,
    recovery_points: RecoveryPoints,
    restores: Restores,
}

#[derive(Debug, Serialize)]
struct Restores {
    count: u64,
    longest_seconds: Option<f64>,
    p95_seconds: Option<f64>,
}

/// Prints the figures.
///
/// # Errors
/// No job has the name, or the database failed.
pub async fn run(database: &Database, args: &Args) -> anyhow::Result<ExitCode> {
    let client = database.client().await?;
    let job = match &args.job {
        Some(name) => Some(find(&client, name).await?),
        None => None,
    };
    let now = db::now(&client).await?;
    let mut periods = Vec::new();
    for period in PERIODS {
        periods.push(read(&client, period, now, job).await?);
    }
    let compliance_now = compliance_hour::now(&client, args.job.as_ref()).await?;
    let answer = Answer { job: args.job.clone(), compliance_now, periods };
    if args.json {
        print_json(&answer)?;
    } else {
        print(&text::render(&answer))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn find<C: GenericClient>(client: &C, name: &JobName) -> anyhow::Result<JobId> {
    let found = job::resolve(client, &[name]).await?.remove(name);
    match found {
        // What a removed job did is worth asking for.
        Some(job) => Ok(job.id),
        None => anyhow::bail!(BadInput(format!("no job is named {name}"))),
    }
}

async fn read<C: GenericClient>(
    client: &C,
    period: Period,
    now: DateTime<Utc>,
    job: Option<JobId>,
) -> anyhow::Result<OfPeriod> {
    let since = period.since(now);
    let restores = recovery::restores(client, since, job).await?;
    Ok(OfPeriod {
        period: period.name,
        since,
        figures: figures::read(client, since, job).await?,
        compliance_mean: if job.is_none() { compliance_hour::mean(client, since).await? } else { None },
        recovery_points: RecoveryPoints::of(&recovery::gaps(client, since, job).await?),
        restores: Restores {
            count: restores.count,
            longest_seconds: restores.longest,
            p95_seconds: restores.p95,
        },
    })
}
