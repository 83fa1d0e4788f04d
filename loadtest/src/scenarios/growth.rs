//! Whether Holdfast stays fast: throughput, queries and indexes with a year of history, beside none.
//!
//! Two databases on one server take turns. Both are loaded as in `throughput`, by a worker and with a producer that
//! looks after the database; only one of them has programs at a time.

mod held;
mod indexes;
mod past;
mod queries;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use shared::task::{Priority, TaskKind};

use self::held::Held;
use self::indexes::{Cost, Worth};
pub(super) use self::past::Past;
use self::queries::Timed;
use crate::measure::{Spread, number};
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Load, Servers, connect, publish};

/// The `growth` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Growth {
    /// Executions of the last year, each with its evidence
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(10_000..))]
    executions: u32,
    /// Ids of the last seven days
    #[arg(long, default_value_t = 5_000_000)]
    ids: u32,
    /// Runs of each database, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Tasks of each run; a tenth as many before it to warm up
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10..))]
    tasks: u32,
    /// How long a snapshot is held open under load, with the history; 0s leaves that out
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    held: Duration,
    /// Slots of the worker
    #[arg(long, default_value_t = 2000, value_parser = super::from_one_to(30_000))]
    slots: usize,
}

/// Throughput without history and with it, one after the other.
#[derive(Debug, Clone, Copy, Serialize)]
struct Pair {
    empty_per_second: f64,
    full_per_second: f64,
}

/// The jobs that the tasks belong to, in turn.
const JOBS: usize = 1000;

impl Growth {
    /// Runs the scenario; fails if a task was lost or doubled.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let empty = servers.create_database("growth_empty").await?;
        let full = servers.create_database("growth_full").await?;
        for url in [&empty, &full] {
            // Facts and verdicts of all jobs, as a database in use has them.
            self.load(servers, url, JOBS * 5).await?;
            forget(url).await?;
        }
        let past = Past { executions: self.executions, ids: self.ids, end: shared::clock::now() };
        eprintln!("filling in the past");
        past.fill(&full, past.all()).await?;
        // What happened today is to be the same: it is what most queries are about.
        past.fill(&empty, past.last_day()).await?;
        let queries = queries::compare(&empty, &full).await?;
        let (worth, costs) = (indexes::worth(&full).await?, indexes::costs(&full).await?);

        let mut pairs = Vec::new();
        for number in 1..=self.pairs {
            forget(&empty).await?;
            let pair = Pair {
                empty_per_second: self.load(servers, &empty, self.tasks as usize).await?,
                full_per_second: self.load(servers, &full, self.tasks as usize).await?,
            };
            eprintln!("pair {number}: {pair:?}");
            pairs.push(pair);
        }
        let held = if self.held.is_zero() { None } else { Some(self.hold(servers, &full).await?) };
        Ok(self.report(&Found { pairs, held, queries, worth, costs }))
    }

    /// Starts the programs, warms them up, and returns the tasks a second of one run.
    async fn load(&self, servers: &Servers, database_url: &str, tasks: usize) -> anyhow::Result<f64> {
        let fleet = self.fleet(servers, database_url).await?;
        let mut books = Books::open(&fleet.database, servers.amqp_url(), LOAD.kind).await?;
        let mut seconds = 0.0;
        for tasks in [tasks / 10, tasks] {
            books.ask(tasks)?;
            let started = Instant::now();
            publish(servers.amqp_url(), &LOAD, tasks).await?;
            books.until_recorded(&fleet.database).await?;
            seconds = started.elapsed().as_secs_f64();
        }
        books.check(&fleet.database).await?;
        fleet.stop().await?;
        Ok(tasks as f64 / seconds)
    }

    async fn fleet(&self, servers: &Servers, database_url: &str) -> anyhow::Result<Fleet> {
        let settings = BTreeMap::from([
            ("pools.probe.slots".to_owned(), self.slots.to_string()),
            // A worker says at each heartbeat what it has done.
            ("heartbeat".to_owned(), "1s".to_owned()),
        ]);
        let database_url = Some(database_url.to_owned());
        Fleet::start(
            servers,
            Layout { database_url, jobs: JOBS, settings, producer: true, ..Layout::default() },
        )
        .await
    }

    async fn hold(&self, servers: &Servers, full: &str) -> anyhow::Result<Held> {
        let fleet = self.fleet(servers, full).await?;
        let held = held::measure(servers, &fleet, &LOAD, self.held).await?;
        fleet.stop().await?;
        eprintln!("held snapshot: {held:?}");
        Ok(held)
    }

    fn report(&self, found: &Found) -> Report {
        let Found { pairs, held, queries, worth, costs } = found;
        let ratio = Spread::of(pairs.iter().map(|pair| pair.full_per_second / pair.empty_per_second));
        let mut tables = vec![pairs_table(pairs, ratio)];
        tables.extend(held.map(held_table));
        tables.extend([queries::table(queries), indexes::worth_table(worth), indexes::costs_table(costs)]);
        Report {
            about: format!(
                "{} executions over 12 months with as many rows of evidence, and {} known ids, beside a database \
                 without them; {} pairs of runs in turn, each of {} `simulated` probes over {JOBS} jobs by a worker \
                 with {} slots, started anew and warmed up; none was lost or doubled. A held snapshot, with the \
                 history: tasks a second in the last fifth of {} under continuous load, and in as much time before it was opened. Queries: the \
                 median of {} calls in turn, where both databases hold the same last day. Indexes: the median of {} \
                 calls each with and without, and of {} inserts of {} rows.",
                self.executions,
                self.ids,
                pairs.len(),
                self.tasks,
                self.slots,
                humantime::format_duration(self.held),
                queries::CALLS,
                indexes::CALLS,
                indexes::INSERTS,
                indexes::ROWS,
            ),
            tables,
            json: json!({
                "scenario": "growth",
                "executions": self.executions,
                "ids": self.ids,
                "pairs": pairs,
                "ratio": ratio.median,
                "held": held,
                "queries": queries,
                "indexes": worth,
                "inserts": costs,
            }),
        }
    }
}

/// The load of `throughput`.
const LOAD: Load = Load {
    kind: TaskKind::Probe,
    params: r#"{"target":"load"}"#,
    jobs: JOBS,
    per_message: 1,
    priority: Priority::Normal,
};

/// All that the scenario measures.
struct Found {
    pairs: Vec<Pair>,
    held: Option<Held>,
    queries: Vec<Timed>,
    worth: Vec<Worth>,
    costs: Vec<Cost>,
}

/// Empties what grows.
async fn forget(database_url: &str) -> anyhow::Result<()> {
    connect(database_url).await?.batch_execute("truncate execution, evidence, known_id").await?;
    Ok(())
}

fn pairs_table(pairs: &[Pair], ratio: Spread) -> Table {
    let mut table = Table::new(["tasks/s", "median", "least", "most"]);
    let empty = Spread::of(pairs.iter().map(|pair| pair.empty_per_second));
    let full = Spread::of(pairs.iter().map(|pair| pair.full_per_second));
    for (what, Spread { median, least, most }) in
        [("without history", empty), ("with history", full), ("ratio of each pair", ratio)]
    {
        table.row([what.to_owned(), number(median), number(least), number(most)]);
    }
    table
}

fn held_table(held: Held) -> Table {
    let mut table = Table::new(["tasks/s before a snapshot is held", "at the end of its time", "ratio"]);
    let Held { before_per_second, last_per_second, ratio } = held;
    table.row([number(before_per_second), number(last_per_second), number(ratio)]);
    table
}
