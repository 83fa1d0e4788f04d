//! How soon a task starts, and how soon its result is committed, at a rate that does not wait for either.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::measure::{Latencies, Moment, Spread, number};
use crate::report::{Report, Table};
use crate::system::{
    Arrival, Books, Commits, EffectLog, Fleet, Layout, Load, Servers, What, connect, publish, publish_at,
    schedule,
};

/// The `latency` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Latency {
    /// Tasks that arrive in a second
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// Runs, after one of at most five seconds to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Worker processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Slots of each worker
    #[arg(long, default_value_t = 2000, value_parser = super::from_one_to(30_000))]
    slots: usize,
}

/// The jobs that the tasks belong to, in turn.
const JOBS: usize = 1000;
/// Seconds to warm up, unless a run is shorter.
const WARM_UP: u16 = 5;
/// The part of the offered rate that counts as reached.
const REACHED: f64 = 0.99;

/// What one run has found.
#[derive(Debug, Clone)]
struct Run {
    /// Confirmed to started.
    pickup: Latencies,
    /// Confirmed to committed.
    commit: Latencies,
    /// Due to confirmed: what the broker and the publisher took.
    confirm: Latencies,
    /// How far apart the two looks are that a commit was found between.
    blur: Latencies,
    /// Tasks published in a second.
    achieved: f64,
}

impl Latency {
    /// Runs the scenario; fails if a task was lost, doubled or begun twice.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let effects = EffectLog::new(servers);
        let slots = ("pools.probe.slots".to_owned(), self.slots.to_string());
        let settings = BTreeMap::from([slots, effects.setting()]);
        let layout = Layout { jobs: JOBS, workers: self.workers.into(), settings, ..Layout::default() };
        let fleet = Fleet::start(servers, layout).await?;
        let load = Load::probes(JOBS);
        let books = Books::open(&fleet.database, servers.amqp_url(), load.kind).await?;
        let mut bench = Bench { servers, fleet, books, load, effects };

        bench.prepare().await?;
        bench.run(self.rate, self.seconds.min(WARM_UP)).await?;
        let mut runs = Vec::new();
        for number in 1..=self.runs {
            let run = bench.run(self.rate, self.seconds).await?;
            let [p50, p99] = [50.0, 99.0].map(|percent| run.pickup.percentile(percent));
            eprintln!("run {number}: confirmed to started p50 {p50:.2} ms, p99 {p99:.2} ms");
            runs.push(run);
        }
        bench.books.check(&bench.fleet.database).await?;
        bench.fleet.stop().await?;
        self.report(&runs)
    }

    fn report(&self, runs: &[Run]) -> anyhow::Result<Report> {
        let all = runs.iter().skip(1).try_fold(runs[0].clone(), Run::with)?;
        let achieved = Spread::of(runs.iter().map(|run| run.achieved));
        let reached = achieved.median >= REACHED * f64::from(self.rate);
        let parts = [("confirmed to started", Run::PICKUP), ("confirmed to committed", Run::COMMIT)];
        Ok(Report {
            about: self.about(&all, achieved, reached),
            tables: vec![
                percentiles(&[
                    (parts[0].0, &all.pickup),
                    (parts[1].0, &all.commit),
                    ("due to confirmed", &all.confirm),
                ]),
                spreads(runs, &parts),
            ],
            json: json!({
                "scenario": "latency",
                "pickup": summary(runs, Run::PICKUP),
                "commit": summary(runs, Run::COMMIT),
                "rate": self.rate,
                "seconds": self.seconds,
                "tasks": self.rate * u32::from(self.seconds),
                "offered": self.rate,
                "achieved": achieved.median,
                "reached": reached,
                "all": all.json(),
                "runs": runs.iter().map(Run::json).collect::<Vec<_>>(),
            }),
        })
    }

    fn about(&self, all: &Run, achieved: Spread, reached: bool) -> String {
        let Self { rate, seconds, runs, workers, slots } = self;
        let verdict = if reached {
            format!("{} tasks/s were published.", number(achieved.median))
        } else {
            format!(
                "**The rate was not reached**: {} tasks/s were published, and what was late is in the latencies.",
                number(achieved.median)
            )
        };
        format!(
            "{runs} runs of {seconds} s with {rate} `simulated` probes a second over {JOBS} jobs, one a message, at \
             times that were drawn before (Poisson) and do not wait for anything; {workers} worker with {slots} slots. \
             {verdict} From when the publisher has the broker's confirm, less what its publish was late, to when the \
             attempt began, which the worker writes down by the same clock, and to the first snapshot of PostgreSQL \
             that sees the result, at most {} ms late (in the median {}). {} of {} began before their confirm was \
             there and count as zero. None was lost or doubled.",
            number(all.blur.max()),
            number(all.blur.percentile(50.0)),
            all.pickup.negative,
            all.pickup.len(),
        )
    }
}

/// What runs are made with.
struct Bench<'a> {
    servers: &'a Servers,
    fleet: Fleet,
    books: Books,
    load: Load,
    effects: EffectLog,
}

impl Bench<'_> {
    /// Runs each job once: a new queue refuses messages until it has a leader, which no run could account for.
    async fn prepare(&mut self) -> anyhow::Result<()> {
        self.books.ask(JOBS)?;
        publish(self.servers.amqp_url(), &self.load, JOBS).await?;
        self.books.until_recorded(&self.fleet.database).await
    }

    async fn run(&mut self, rate: u32, seconds: u16) -> anyhow::Result<Run> {
        let (tasks, length) = (rate as usize * usize::from(seconds), Duration::from_secs(seconds.into()));
        self.books.ask(tasks)?;
        let commits = Commits::watch(&self.fleet.database_url).await?;
        let arrivals = publish_at(self.servers.amqp_url(), &self.load, schedule(tasks, length)).await?;
        self.books.until_recorded(&self.fleet.database).await?;
        let seen = commits.stop().await?;

        let begun = self.begun()?;
        let recorded = recorded(&connect(&self.fleet.database_url).await?, seen.horizon()).await?;
        let mut run = Run::new(achieved(&arrivals, length))?;
        for arrival in &arrivals {
            let (task, from) = (arrival.task, arrival.confirm_due());
            let begun = begun.get(&task).with_context(|| format!("{task} never began"))?;
            let xact = recorded.get(&task).with_context(|| format!("{task} was not recorded"))?;
            let commit = seen.commit(*xact).with_context(|| format!("{task} was not seen committed"))?;
            run.pickup.record(from, *begun)?;
            run.commit.record(from, commit.latest)?;
            run.confirm.record(arrival.due, arrival.confirmed)?;
            run.blur.record(commit.earliest, commit.latest)?;
        }
        Ok(run)
    }

    /// When each task of this run began.
    fn begun(&mut self) -> anyhow::Result<HashMap<Uuid, Moment>> {
        let mut begun = HashMap::new();
        for effect in self.effects.take()?.into_iter().filter(|effect| effect.what == What::Started) {
            ensure!(begun.insert(effect.task, effect.at).is_none(), "{} began twice", effect.task);
        }
        Ok(begun)
    }
}

/// Tasks a second from the begin of the schedule to the last publish.
fn achieved(arrivals: &[Arrival], length: Duration) -> f64 {
    let last = arrivals.iter().max_by_key(|arrival| arrival.due);
    let behind = last.and_then(|last| last.sent.since(last.due)).unwrap_or_default();
    arrivals.len() as f64 / (length + behind).as_secs_f64()
}

/// The transactions that recorded tasks, from one on.
async fn recorded(client: &Client, horizon: u64) -> anyhow::Result<HashMap<Uuid, u64>> {
    let statement = "select task_id, xact::text from execution where xact >= $1::text::xid8";
    let rows = client.query(statement, &[&horizon.to_string()]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<_, &str>(1)?.parse()?))).collect()
}

/// One of a run's latencies.
type Part = fn(&Run) -> &Latencies;

impl Run {
    const PICKUP: Part = |run| &run.pickup;
    const COMMIT: Part = |run| &run.commit;

    fn new(achieved: f64) -> anyhow::Result<Self> {
        let none = Latencies::new()?;
        Ok(Self { pickup: none.clone(), commit: none.clone(), confirm: none.clone(), blur: none, achieved })
    }

    fn with(mut self, other: &Self) -> anyhow::Result<Self> {
        self.pickup.add(&other.pickup)?;
        self.commit.add(&other.commit)?;
        self.confirm.add(&other.confirm)?;
        self.blur.add(&other.blur)?;
        Ok(self)
    }

    fn json(&self) -> Value {
        json!({
            "pickup": self.pickup.json(), "commit": self.commit.json(), "due_to_confirmed": self.confirm.json(),
            "commit_blur": self.blur.json(), "achieved": self.achieved,
        })
    }
}

/// The median of the runs' percentiles, and the longest of all.
fn summary(runs: &[Run], part: Part) -> Value {
    let median = |percent| Spread::of(runs.iter().map(|run| part(run).percentile(percent))).median;
    let max = Spread::of(runs.iter().map(|run| part(run).max())).most;
    json!({ "p50_ms": median(50.0), "p99_ms": median(99.0), "max_ms": max })
}

/// The histogram of all runs together.
fn percentiles(parts: &[(&str, &Latencies)]) -> Table {
    let mut table = Table::new(["all runs, ms", "p50", "p90", "p99", "p99.9", "max"]);
    for (name, latencies) in parts {
        let [p50, p90, p99, p99_9] =
            [50.0, 90.0, 99.0, 99.9].map(|percent| number(latencies.percentile(percent)));
        table.row([(*name).to_owned(), p50, p90, p99, p99_9, number(latencies.max())]);
    }
    table
}

/// How far the runs are apart.
fn spreads(runs: &[Run], parts: &[(&str, Part)]) -> Table {
    let mut table = Table::new(["median of the runs (least to most), ms", "p50", "p99", "max"]);
    for (name, part) in parts {
        let percentile = |percent| Spread::of(runs.iter().map(|run| part(run).percentile(percent)));
        let max = Spread::of(runs.iter().map(|run| part(run).max()));
        table.row([
            (*name).to_owned(),
            percentile(50.0).to_string(),
            percentile(99.0).to_string(),
            max.to_string(),
        ]);
    }
    table
}
