//! Ten thousand jobs as code: how soon a file of them is applied, and how soon all of them are enqueued when they are due at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::Timelike as _;
use serde_json::{Value, json};
use shared::clock;

use crate::measure::{Spread, number};
use crate::report::{Report, Table};
use crate::system::{Fleet, Layout, Servers, producer};

/// The `definitions` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Definitions {
    /// Jobs in the file
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Runs, each with a database of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

/// What one run has shown, in seconds.
#[derive(Debug, Default)]
struct Run {
    /// The first time.
    applied: f64,
    /// Once more: nothing has changed.
    again: f64,
    /// Each job's RPO is another, and so is its schedule.
    changed: f64,
    /// From the minute at which all are due to the last task's row.
    enqueued: f64,
    /// From then to the last confirmation of the broker.
    published: f64,
}

/// Until the next minute and then some.
const PATIENCE: Duration = Duration::from_mins(3);

impl Definitions {
    /// Runs the scenario; fails if a job is not enqueued exactly once.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let mut runs = Vec::new();
        for round in 1..=self.runs {
            let run = self.measure(servers, round).await?;
            eprintln!("run {round} of {}: {run:.1?}", self.runs);
            runs.push(run);
        }
        Ok(self.report(&runs))
    }

    async fn measure(&self, servers: &Servers, round: u16) -> anyhow::Result<Run> {
        let database = servers.create_database(&format!("definitions_{round}")).await?;
        producer(servers, &database, &["migrate"])?;
        let apply = |definitions: &Value| {
            let file = servers.directory().join("many.yaml");
            std::fs::write(&file, definitions.to_string())?;
            let started = Instant::now();
            producer(servers, &database, &["apply", file.to_str().context("a path that is not UTF-8")?])?;
            anyhow::Ok(started.elapsed().as_secs_f64())
        };
        let hourly = self.definitions(servers, "26h", "0 * * * *");
        let (applied, again) = (apply(&hourly)?, apply(&hourly)?);
        let layout = Layout {
            database_url: Some(database.clone()),
            definitions: Some(hourly),
            workers: 0,
            producer: true,
            ..Layout::default()
        };
        let fleet = Fleet::start(servers, layout).await?;
        // The change is not to last until what it makes due.
        let second = clock::now().second();
        if second > 30 {
            tokio::time::sleep(Duration::from_secs(u64::from(61 - second))).await;
        }
        let changed = apply(&self.definitions(servers, "25h", "* * * * *"))?;
        let enqueued = self.until(&fleet, "task_id is not null").await.context("enqueueing")?;
        let is_published = "exists (select from task where id = task_id and confirmed > 0)";
        let published = self.until(&fleet, is_published).await.context("publishing")?;
        fleet.stop().await?;
        Ok(Run { applied, again, changed, enqueued, published })
    }

    /// Waits until this holds of the first due time of all jobs; returns how many seconds after it that was.
    async fn until(&self, fleet: &Fleet, holds: &str) -> anyhow::Result<f64> {
        let statement = format!(
            "select count(*) filter (where {holds}), extract(epoch from clock_timestamp() - min(due_at))::float8
             from schedule_run where due_at = (select min(due_at) from schedule_run)"
        );
        let (client, started) = (fleet.database.client().await?, Instant::now());
        loop {
            let row = client.query_one(&statement, &[]).await?;
            let (done, seconds): (i64, Option<f64>) = (row.try_get(0)?, row.try_get(1)?);
            ensure!(done <= i64::from(self.jobs), "{done} of {} jobs", self.jobs);
            if let Some(seconds) = seconds.filter(|_| done == i64::from(self.jobs)) {
                return Ok(seconds);
            }
            ensure!(started.elapsed() < PATIENCE, "{done} of {} jobs", self.jobs);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn definitions(&self, servers: &Servers, rpo: &str, cron: &str) -> Value {
        let jobs: Vec<Value> = (0..self.jobs)
            .map(|n| {
                json!({
                    "name": format!("job-{n}"), "owner": format!("owner-{}", n % 100), "rpo": rpo,
                    "source": { "kind": "simulated", "failure_domain": format!("host-{n}"), "site": "hq", "media": "disk" },
                    "targets": ["near", "far"], "schedule": { "cron": cron, "timezone": "Europe/Berlin" },
                })
            })
            .collect();
        let target = |name: &str| {
            json!({
                "name": name, "repository": servers.directory().join(name), "site": name, "media": "nas",
                "failure_domain": name, "password": { "env": "UNUSED" },
            })
        };
        json!({ "targets": [target("near"), target("far")], "jobs": jobs })
    }

    fn report(&self, runs: &[Run]) -> Report {
        type Figure = (&'static str, &'static str, fn(&Run) -> f64);
        let figures: [Figure; 5] = [
            ("applied", "applied for the first time", |run| run.applied),
            ("again", "applied again, unchanged", |run| run.again),
            ("changed", "applied with another RPO and schedule each", |run| run.changed),
            ("enqueued", "all due in one minute: until the last is enqueued", |run| run.enqueued),
            ("published", "and until the broker has the last", |run| run.published),
        ];
        let mut table = Table::new(["seconds", "median", "least", "most"]);
        let mut json = json!({ "scenario": "definitions", "jobs": self.jobs, "runs": self.runs });
        for (key, what, of) in figures {
            let spread = Spread::of(runs.iter().map(of));
            let Spread { median, least, most } = spread;
            table.row([what.to_owned(), number(median), number(least), number(most)]);
            json[key] = json!(spread);
        }
        Report {
            about: format!(
                "{} runs, each with a new database: a file of {} jobs with two targets and a schedule each, by `producer apply`; \
                 then a producer without workers sees to a minute in which all of them are due. Each was enqueued once.",
                self.runs, self.jobs,
            ),
            tables: vec![table],
            json,
        }
    }
}
