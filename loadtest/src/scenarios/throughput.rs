//! Tasks a second through the whole pipeline: confirm-publish, claim, execute, record, judge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Client;

use super::floor::{Floor, Tuning};
use crate::measure::{ProcessorTime, Spread, number};
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Load, Observed, Observer, Seen, Servers, connect, fill, publish};

/// The `throughput` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Throughput {
    /// Tasks of each run
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Runs, each of Holdfast and of its floor, in turn, after one of each to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Worker processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Tasks that travel in one message
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
    per_message: u16,
    /// How tasks reach the queue
    #[arg(long, value_enum, default_value_t)]
    through: Through,
    /// Metrics that are scraped each second, and traces of this share of the tasks (0 to 1) that a collector takes
    #[arg(long, value_name = "SHARE", value_parser = share)]
    observed: Option<f64>,
    /// Slots of each worker
    #[arg(long, default_value_t = 2000, value_parser = super::from_one_to(30_000))]
    slots: usize,
    /// The floor's lanes
    #[arg(long, default_value_t = 1, value_parser = super::from_one_to(64))]
    lanes: usize,
    /// The most tasks of the floor's transactions
    #[arg(long, default_value_t = 1000, value_parser = super::from_one_to(30_000))]
    batch: usize,
}

/// How tasks reach the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Through {
    /// Published by another system
    #[default]
    Broker,
    /// Written into the database, as the producer's commands and schedules do, and published by its relay
    Outbox,
}

/// One run of each.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    tasks_per_second: f64,
    floor_per_second: f64,
    ratio: f64,
}

/// The jobs that the tasks belong to, in turn.
const JOBS: usize = 1000;

impl Throughput {
    /// Runs the scenario; fails if a task was lost or doubled, or if both did not write the same numbers of rows.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let (tasks, load) = (self.tasks as usize, self.load());
        let settings = BTreeMap::from([("pools.probe.slots".to_owned(), self.slots.to_string())]);
        let observer = match self.observed {
            Some(share) => Some(Observer::start(share).await?),
            None => None,
        };
        // What finds no slot in time waits in the database for the producer.
        let layout = Layout {
            jobs: JOBS,
            workers: self.workers.into(),
            settings,
            producer: true,
            environment: observer.as_ref().map(Observer::environment).unwrap_or_default(),
            ..Layout::default()
        };
        let fleet = Fleet::start(servers, layout).await?;
        let watched = observer.map(|observer| observer.watch(&fleet)).transpose()?;
        let mut books = Books::open(&fleet.database, servers.amqp_url(), load.kind).await?;
        self.holdfast(servers, &fleet, &mut books, tasks).await.context("warm up")?;

        let floor_url = servers.create_database("floor").await?;
        let alone =
            Layout { database_url: Some(floor_url.clone()), jobs: JOBS, workers: 0, ..Layout::default() };
        Fleet::start(servers, alone).await?;
        let model = connect(&fleet.database_url).await?;
        let floor = Floor::new(floor_url.clone(), servers.amqp_url(), &model, load).await?;
        let tuning = Tuning { lanes: self.lanes, batch: self.batch };
        floor.run(tasks, tuning).await.context("floor")?;

        let (ours, bare) = (connect(&fleet.database_url).await?, connect(&floor_url).await?);
        let before = (rows(&ours).await?, rows(&bare).await?);
        let (mut runs, mut processors) = (Vec::new(), Vec::new());
        for number in 1..=self.runs {
            let began = ProcessorTime::now()?;
            let seconds = self.holdfast(servers, &fleet, &mut books, tasks).await?;
            let between = ProcessorTime::now()?;
            let floor = floor.run(tasks, tuning).await?;
            let ended = ProcessorTime::now()?;
            let used = [between.per_task(&began, tasks), ended.per_task(&between, tasks)];
            let per_second = |seconds: f64| tasks as f64 / seconds;
            let run = Run {
                tasks_per_second: per_second(seconds),
                floor_per_second: per_second(floor),
                ratio: floor / seconds,
            };
            eprintln!(
                "run {number} of {}: {:.0} tasks/s, the floor {:.0}, ratio {:.2}",
                self.runs, run.tasks_per_second, run.floor_per_second, run.ratio
            );
            runs.push(run);
            processors.push(used);
        }
        books.check(&fleet.database).await?;
        let after = (rows(&ours).await?, rows(&bare).await?);
        let written = |after: Rows, before: Rows| after.map_with(before, |after, before| after - before);
        let (ours, bare) = (written(after.0, before.0), written(after.1, before.1));
        ensure!(ours == bare, "Holdfast wrote {ours:?}, the floor {bare:?}");
        fleet.stop().await?;
        let seen = watched.map(Observed::end).transpose()?;
        Ok(self.report(&runs, &processors, seen))
    }

    fn load(&self) -> Load {
        let params = r#"{"target":"load"}"#;
        Load { params, per_message: self.per_message.into(), ..Load::probes(JOBS) }
    }

    async fn holdfast(
        &self,
        servers: &Servers,
        fleet: &Fleet,
        books: &mut Books,
        tasks: usize,
    ) -> anyhow::Result<f64> {
        books.ask(tasks)?;
        let started = Instant::now();
        match self.through {
            Through::Broker => publish(servers.amqp_url(), &self.load(), tasks).await?,
            Through::Outbox => fill(&fleet.database, &self.load(), tasks).await?,
        }
        books.until_recorded(&fleet.database).await?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn report(&self, runs: &[Run], processors: &[[PerTask; 2]], observed: Option<Seen>) -> Report {
        let spread = |part: fn(&Run) -> f64| Spread::of(runs.iter().map(part));
        let (ours, floor) = (spread(|run| run.tasks_per_second), spread(|run| run.floor_per_second));
        let ratio = spread(|run| run.ratio);
        let mut table = Table::new(["", "median", "least", "most"]);
        for (what, spread) in [("Holdfast, tasks/s", ours), ("floor, tasks/s", floor), ("ratio", ratio)] {
            let Spread { median, least, most } = spread;
            table.row([what.to_owned(), number(median), number(least), number(most)]);
        }
        Report {
            about: format!(
                "{} runs of {} `simulated` probes over {JOBS} jobs, {} a message, from the first publish to the last \
                 commit; {} worker with {} slots; the floor has {} lanes with batches of up to {}. Each task writes its \
                 id, lease, execution and evidence, and its job's facts and verdicts anew; both wrote the same numbers \
                 of rows; none was lost or doubled.{}",
                runs.len(),
                self.tasks,
                self.per_message,
                self.workers,
                self.slots,
                self.lanes,
                self.batch,
                observed.map(|seen| seen.to_string()).unwrap_or_default(),
            ),
            tables: vec![table, used(processors)],
            json: json!({
                "scenario": "throughput",
                "tasks": self.tasks,
                "per_message": self.per_message,
                "through": self.through,
                "observed": observed,
                "workers": self.workers,
                "slots": self.slots,
                "tasks_per_second": ours.median,
                "floor_per_second": floor.median,
                "ratio": ratio.median,
                "runs": runs,
            }),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "is no number")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("use 0 to 1".to_owned()) }
}

/// Microseconds of processor time for each task, by program.
type PerTask = BTreeMap<&'static str, f64>;

fn used(runs: &[[PerTask; 2]]) -> Table {
    let mut table = Table::new(["processor time a task, µs", "Holdfast", "floor"]);
    let programs: BTreeSet<&str> = runs.iter().flatten().flat_map(BTreeMap::keys).copied().collect();
    for program in programs {
        let of = |place: usize| {
            let spent = runs.iter().map(|run| run[place].get(program).copied().unwrap_or_default());
            format!("{:.0}", Spread::of(spent).median)
        };
        table.row([program.to_owned(), of(0), of(1)]);
    }
    table
}

/// Rows of the tables that grow with each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rows {
    known_ids: i64,
    executions: i64,
    evidence: i64,
}

impl Rows {
    fn map_with(self, other: Self, f: fn(i64, i64) -> i64) -> Self {
        Self {
            known_ids: f(self.known_ids, other.known_ids),
            executions: f(self.executions, other.executions),
            evidence: f(self.evidence, other.evidence),
        }
    }
}

async fn rows(client: &Client) -> anyhow::Result<Rows> {
    let statement =
        "select (select count(*) from known_id) as known_ids, (select count(*) from execution) as executions,
             (select count(*) from evidence) as evidence";
    let row = client.query_one(statement, &[]).await?;
    Ok(Rows {
        known_ids: row.try_get("known_ids")?,
        executions: row.try_get("executions")?,
        evidence: row.try_get("evidence")?,
    })
}
