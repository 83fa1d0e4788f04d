//! Many real backups that are asked for at once.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use shared::task::{Priority, TaskKind};
use shared::topology::{TASKS_EXCHANGE, routing_key};
use tokio_postgres::Client;

use crate::backups::{Content, Data, Definitions, Shape, password_file};
use crate::measure::Spread;
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Load, Servers, connect, publish_numbers};

/// The `stress` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Stress {
    /// Backups that are asked for at once, each of a job of its own
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    backups: u16,
    /// Backups that run at once
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    slots: u16,
    /// Runs with a repository for each job, and as many with one for all, in turn, after one of each to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

/// The source of each job: 20 files of 16 KiB.
const SOURCE: Shape = Shape { files: 20, least: 16 * 1024, most: 16 * 1024, content: Content::Letters };

/// One run: how long the backups took from being asked for to being recorded.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    mean_seconds: f64,
    max_seconds: f64,
    per_hour: f64,
}

/// Where the jobs' repositories are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Each has its own.
    Own,
    /// All use one.
    Shared,
}

/// Jobs with real files, and the worker that runs them.
struct Bench<'a> {
    servers: &'a Servers,
    fleet: Fleet,
    client: Client,
    books: Books,
    backups: usize,
}

impl Stress {
    /// Runs the scenario; fails if a backup was lost or doubled, or did not save its files.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let directory = servers.directory().join("stress");
        fs::create_dir(&directory)?;
        let fleet = Fleet::start(servers, self.layout(&directory)?).await?;
        let client = connect(&fleet.database_url).await?;
        let books = Books::open(&fleet.database, servers.amqp_url(), TaskKind::Backup).await?;
        let mut bench = Bench { servers, fleet, client, books, backups: self.backups.into() };
        let (mut own, mut shared) = (Vec::new(), Vec::new());
        for number in 0..=self.runs {
            for (place, runs) in [(Place::Own, &mut own), (Place::Shared, &mut shared)] {
                for job in place.jobs(bench.backups) {
                    write_source(&directory, job, number)?;
                }
                rustix::fs::sync();
                let run = bench.run(place).await?;
                eprintln!("run {number}, {place:?}: {run:?}");
                if number > 0 {
                    runs.push(run);
                }
            }
        }
        let Bench { fleet, client, books, .. } = bench;
        books.check(&fleet.database).await?;
        check_points(&client).await?;
        fleet.stop().await?;
        Ok(self.report(&own, &shared))
    }

    fn layout(&self, directory: &Path) -> anyhow::Result<Layout> {
        let mut definitions = Definitions::new(password_file(directory)?);
        definitions.target("shared", &directory.join("repository"));
        for place in [Place::Own, Place::Shared] {
            for job in place.jobs(self.backups.into()) {
                let target = match place {
                    Place::Own => format!("own-{job}"),
                    Place::Shared => "shared".to_owned(),
                };
                if place == Place::Own {
                    definitions.target(&target, &directory.join(format!("repository-{job}")));
                }
                definitions.job(&format!("load-{job}"), &source(directory, job), &target);
            }
        }
        let slots = [("backup", self.slots), ("verify", 0), ("copy", 0)];
        let settings = slots.map(|(kind, slots)| (format!("pools.{kind}.slots"), slots.to_string()));
        Ok(Layout {
            definitions: Some(definitions.into_value()),
            settings: BTreeMap::from(settings),
            producer: true,
            ..Layout::default()
        })
    }

    fn report(&self, own: &[Run], shared: &[Run]) -> Report {
        let mut table = Table::new(["", "mean, s", "longest, s", "backups an hour"]);
        let mut figures = Vec::new();
        for (name, runs) in [("a repository for each", own), ("one repository for all", shared)] {
            let spread = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
            let (mean, max) = (spread(|run| run.mean_seconds), spread(|run| run.max_seconds));
            let hour = spread(|run| run.per_hour);
            table.row([name.to_owned(), mean.to_string(), max.to_string(), hour.to_string()]);
            figures.push(json!({
                "mean_seconds": mean.median, "max_seconds": max.median, "per_hour": hour.median, "runs": runs,
            }));
        }
        let mut json = figures.swap_remove(0);
        json["scenario"] = json!("stress");
        json["backups"] = json!(self.backups);
        json["slots"] = json!(self.slots);
        json["shared"] = figures.swap_remove(0);
        Report {
            about: format!(
                "{} jobs are published at once, each a backup of {} new files of 16 KiB with a real engine process; \
                 one worker with {} slots; {} runs of each kind, in turn. Each backup's time runs from just before the \
                 first is published to the transaction that records it. The repositories exist already and grow with \
                 each run, and the worker knows their keys from the runs before, of which the first of each kind does \
                 not count; the verification that follows a backup is left in the queue. Every restore point holds all \
                 files of its job; none was lost or doubled.",
                self.backups,
                SOURCE.files,
                self.slots,
                own.len(),
            ),
            tables: vec![table],
            json,
        }
    }
}

impl Place {
    /// The numbers of its jobs.
    fn jobs(self, backups: usize) -> Range<usize> {
        match self {
            Self::Own => 0..backups,
            Self::Shared => backups..2 * backups,
        }
    }
}

fn source(directory: &Path, job: usize) -> PathBuf {
    directory.join(format!("source-{job}"))
}

/// Gives a job other files than it ever had.
fn write_source(directory: &Path, job: usize, run: u16) -> anyhow::Result<()> {
    let path = source(directory, job);
    if run > 0 {
        fs::remove_dir_all(&path)?;
    }
    let seed = u64::from(run) << 32 | u64::try_from(job)?;
    Data::write(path, &[SOURCE], seed)?;
    Ok(())
}

impl Bench<'_> {
    async fn run(&mut self, place: Place) -> anyhow::Result<Run> {
        let load = Load { kind: TaskKind::Backup, params: "{}", jobs: 2 * self.backups, ..Load::probes(1) };
        let key = routing_key(load.kind, Priority::Normal);
        self.books.ask(self.backups)?;
        let started: DateTime<Utc> =
            self.client.query_one("select clock_timestamp()", &[]).await?.try_get(0)?;
        publish_numbers(self.servers.amqp_url(), TASKS_EXCHANGE, &key, &load, place.jobs(self.backups))
            .await?;
        self.books.until_recorded(&self.fleet.database).await?;
        let statement = "select count(*), avg(s)::float8 as mean, max(s)::float8 as max
             from (select extract(epoch from finished_at - $1) as s from execution
                   where kind = 'backup' and outcome = 'success' and finished_at >= $1) as done";
        let row = self.client.query_one(statement, &[&started]).await?;
        let count: i64 = row.try_get("count")?;
        ensure!(usize::try_from(count)? == self.backups, "{count} of {} backups succeeded", self.backups);
        let (mean_seconds, max_seconds) = (row.try_get("mean")?, row.try_get("max")?);
        Ok(Run { mean_seconds, max_seconds, per_hour: self.backups as f64 / max_seconds * 3600.0 })
    }
}

async fn check_points(client: &Client) -> anyhow::Result<()> {
    let (files, bytes) = (i64::try_from(SOURCE.files)?, i64::try_from(SOURCE.files * SOURCE.most)?);
    let statement = "select count(*) from execution e left join restore_point p on p.task_id = e.task_id
         where e.kind = 'backup' and (p.files = $1 and p.bytes = $2) is not true";
    let short: i64 = client.query_one(statement, &[&files, &bytes]).await?.try_get(0)?;
    ensure!(short == 0, "{short} backups have no restore point with {files} files of together {bytes} bytes");
    Ok(())
}
