//! Holdfast beside another task queue, with like guarantees, on the same servers.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use shared::task::TaskKind;

use crate::measure::{Spread, number};
use crate::peers::{Celery, Tuning};
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Load, Servers, publish};

/// The `peers` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Peers {
    /// Tasks of each run of Holdfast
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Tasks of each run of Celery
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    celery_tasks: u32,
    /// Runs of each, in turn, after one of each to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Tasks that travel in one of Holdfast's messages
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
    per_message: u16,
    /// Slots of Holdfast's worker
    #[arg(long, default_value_t = 2000, value_parser = super::from_one_to(30_000))]
    slots: usize,
    /// Celery's worker processes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    processes: u16,
    /// Messages that each of Celery's worker processes may have in advance
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    prefetch: u16,
    /// Celery's publishing processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    publishers: u16,
}

/// One run of each.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    holdfast_per_second: f64,
    celery_per_second: f64,
    ratio: f64,
}

/// The jobs that the tasks belong to, in turn.
const JOBS: usize = 1000;
/// Messages that a publisher of Celery's may have unconfirmed, as one of Holdfast's load.
const WINDOW: u16 = 1000;

impl Peers {
    /// Runs the scenario; fails if either lost a task or did one twice.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let mut celery = Celery::start(servers, self.tuning()).await?;
        let settings = BTreeMap::from([("pools.probe.slots".to_owned(), self.slots.to_string())]);
        // What finds no slot for too long waits in the database, and the producer brings it back.
        let layout = Layout { jobs: JOBS, settings, producer: true, ..Layout::default() };
        let fleet = Fleet::start(servers, layout).await?;
        let mut books = Books::open(&fleet.database, servers.amqp_url(), TaskKind::Probe).await?;
        let mut runs = Vec::new();
        for number in 0..=self.runs {
            let holdfast = f64::from(self.tasks) / self.holdfast(servers, &fleet, &mut books).await?;
            let celery = f64::from(self.celery_tasks) / celery.run(self.celery_tasks as usize, JOBS).await?;
            let run =
                Run { holdfast_per_second: holdfast, celery_per_second: celery, ratio: holdfast / celery };
            eprintln!("run {number}: {run:?}");
            if number > 0 {
                runs.push(run);
            }
        }
        books.check(&fleet.database).await?;
        celery.check().await?;
        let version = celery.version.clone();
        celery.stop().await?;
        fleet.stop().await?;
        Ok(self.report(&runs, &version))
    }

    const fn tuning(&self) -> Tuning {
        let Self { processes, prefetch, publishers, .. } = *self;
        Tuning { processes, prefetch, publishers, window: WINDOW }
    }

    async fn holdfast(&self, servers: &Servers, fleet: &Fleet, books: &mut Books) -> anyhow::Result<f64> {
        books.ask(self.tasks as usize)?;
        let started = Instant::now();
        let load = Load { per_message: self.per_message.into(), ..Load::probes(JOBS) };
        publish(servers.amqp_url(), &load, self.tasks as usize).await?;
        books.until_recorded(&fleet.database).await?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn report(&self, runs: &[Run], version: &str) -> Report {
        let spread = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
        let (holdfast, celery) = (spread(|run| run.holdfast_per_second), spread(|run| run.celery_per_second));
        let ratio = spread(|run| run.ratio);
        let mut table = Table::new(["", "median", "least", "most"]);
        for (what, spread) in [("Holdfast, tasks/s", holdfast), ("Celery, tasks/s", celery), ("ratio", ratio)]
        {
            let Spread { median, least, most } = spread;
            table.row([what.to_owned(), number(median), number(least), number(most)]);
        }
        Report {
            about: format!(
                "{} runs of {} `simulated` probes through Holdfast, {} a message, one worker with {} slots, and of {} \
                 tasks through {version} that insert one row each, in turn on the same servers, from the first \
                 publish to the last commit, publishing and working at the same time. Both have a quorum queue, \
                 persistent messages and publisher confirms, up to {WINDOW} of them outstanding. Celery acknowledges \
                 after the insert and gives back what a dying process had; it has no results, events, gossip or remote \
                 control, {} processes (prefork), each with {} messages in advance and one connection with a prepared \
                 insert, and {} publishing. No task was lost or done twice on either side.",
                runs.len(),
                self.tasks,
                self.per_message,
                self.slots,
                self.celery_tasks,
                self.processes,
                self.prefetch,
                self.publishers,
            ),
            tables: vec![table],
            json: json!({
                "scenario": "peers",
                "holdfast_per_second": holdfast.median,
                "celery_per_second": celery.median,
                "ratio": ratio.median,
                "celery": self.tuning(),
                "runs": runs,
            }),
        }
    }
}
