//! What each process keeps in memory: at full rate, and with a backlog before it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::measure::{Spread, Usage, number};
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Load, Servers, fill, publish};

/// The `memory` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Memory {
    /// Tasks that are published while the programs run
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Messages, and waiting rows, that are there before the programs start
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    backlog: u32,
    /// Runs of each phase, in turn, each with new processes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Slots of the worker
    #[arg(long, default_value_t = 2000, value_parser = super::from_one_to(30_000))]
    slots: usize,
}

/// The jobs that the tasks belong to, in turn.
const JOBS: usize = 1000;
/// Tasks a message of the packed backlog.
const PACKED: usize = 100;
/// How often one looks.
const SAMPLE: Duration = Duration::from_secs(1);
/// How often the reporter is asked for its metrics: Prometheus's own default.
const SCRAPE: Duration = Duration::from_secs(15);
const MIB: f64 = 1024.0 * 1024.0;

/// What the processes have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Phase {
    /// Messages of one task come while they run.
    #[serde(rename = "full rate")]
    FullRate,
    /// Messages of one task wait in the queue when they start.
    #[serde(rename = "backlog")]
    Backlog,
    /// As many tasks wait in the queue, in messages of many.
    #[serde(rename = "packed backlog")]
    Packed,
    /// As many tasks wait in the database, for the relay.
    #[serde(rename = "waiting rows")]
    Waiting,
}

impl Phase {
    const ALL: [Self; 4] = [Self::FullRate, Self::Backlog, Self::Packed, Self::Waiting];

    const fn name(self) -> &'static str {
        match self {
            Self::FullRate => "full rate",
            Self::Backlog => "backlog",
            Self::Packed => "packed backlog",
            Self::Waiting => "waiting rows",
        }
    }
}

/// The phases and processes, each with what was found in each run.
type Found = BTreeMap<(Phase, &'static str), Vec<Size>>;

/// Resident memory of one process in one run, in bytes.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// The median of all looks.
    median: f64,
    /// The most that the kernel ever counted.
    peak: f64,
}

impl Memory {
    /// Runs the scenario; fails if a task was lost or doubled.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let mut found = Found::new();
        for run in 1..=self.runs {
            // A database of its own, so that history does not pile up from run to run.
            let database_url = servers.create_database("memory").await?;
            for phase in Phase::ALL {
                for (name, size) in self.phase(servers, &database_url, phase).await? {
                    eprintln!("run {run}: {}, {name}: {}", phase.name(), number(size.peak / MIB));
                    found.entry((phase, name)).or_default().push(size);
                }
            }
        }
        Ok(self.report(&found))
    }

    /// New processes do one phase's work.
    async fn phase(
        &self,
        servers: &Servers,
        database_url: &str,
        phase: Phase,
    ) -> anyhow::Result<Vec<(&'static str, Size)>> {
        let load =
            Load { per_message: if phase == Phase::Packed { PACKED } else { 1 }, ..Load::probes(JOBS) };
        let tasks = if phase == Phase::FullRate { self.tasks } else { self.backlog } as usize;
        let fleet = |workers| Fleet::start(servers, self.layout(database_url, workers));

        let idle = fleet(0).await?;
        let mut books = Books::open(&idle.database, servers.amqp_url(), load.kind).await?;
        books.ask(tasks)?;
        match phase {
            Phase::FullRate => {}
            Phase::Backlog | Phase::Packed => publish(servers.amqp_url(), &load, tasks).await?,
            Phase::Waiting => fill(&idle.database, &load, tasks).await?,
        }
        idle.stop().await?;

        let fleet = fleet(1).await?;
        let working = async {
            if phase == Phase::FullRate {
                publish(servers.amqp_url(), &load, tasks).await?;
            }
            books.until_recorded(&fleet.database).await
        };
        let sizes = watch(&fleet, working).await?;
        books.check(&fleet.database).await?;
        fleet.stop().await?;
        Ok(sizes)
    }

    /// Without workers nobody else is there either.
    fn layout(&self, database_url: &str, workers: usize) -> Layout {
        Layout {
            database_url: Some(database_url.to_owned()),
            jobs: JOBS,
            workers,
            settings: BTreeMap::from([("pools.probe.slots".to_owned(), self.slots.to_string())]),
            producer: workers > 0,
            reporter: workers > 0,
            ..Layout::default()
        }
    }

    fn report(&self, found: &Found) -> Report {
        let Self { tasks, backlog, runs, slots } = self;
        let mut table = Table::new([
            "phase",
            "process",
            "median, MiB (least to most of the runs)",
            "peak, MiB (least to most of the runs)",
        ]);
        let mut processes = Vec::new();
        for ((phase, name), sizes) in found {
            let median = Spread::of(sizes.iter().map(|size| size.median / MIB));
            let peak = Spread::of(sizes.iter().map(|size| size.peak / MIB));
            table.row([phase.name().to_owned(), (*name).to_owned(), median.to_string(), peak.to_string()]);
            processes.push(process(*phase, name, median, peak));
        }
        Report {
            about: format!(
                "Resident memory of a worker with {slots} slots, a producer and a reporter that is asked for its \
                 metrics every {} s; {runs} runs of each phase, each with new processes, looked at every second; the \
                 peak is the kernel's. Full rate: {} `simulated` probes over {JOBS} jobs, one a message, are published \
                 as fast as the broker takes them. Backlog: {} messages of one task wait in the queue when the \
                 processes start; packed backlog: as many tasks, {PACKED} a message; waiting rows: as many tasks in \
                 the database, which the producer publishes. Each phase ends when all is recorded; none was lost or \
                 doubled.",
                SCRAPE.as_secs(),
                number(f64::from(*tasks)),
                number(f64::from(*backlog)),
            ),
            tables: vec![table],
            json: json!({
                "scenario": "memory",
                "processes": processes,
                "tasks": tasks,
                "backlog": backlog,
                "tasks_per_packed_message": PACKED,
                "slots": slots,
                "runs": runs,
            }),
        }
    }
}

/// The peak is the most of all runs: a bound that is kept has to be kept each time.
fn process(phase: Phase, name: &str, median: Spread, peak: Spread) -> Value {
    json!({
        "name": name, "phase": phase, "peak_mib": peak.most, "median_mib": median.median,
        "peaks_mib": peak, "medians_mib": median,
    })
}

/// Looks at the processes until some work is done.
async fn watch(
    fleet: &Fleet,
    working: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Vec<(&'static str, Size)>> {
    let mut resident: Vec<Vec<f64>> = vec![Vec::new(); processes(fleet).len()];
    let (mut samples, mut scrapes) = (tokio::time::interval(SAMPLE), tokio::time::interval(SCRAPE));
    let mut working = pin!(working);
    loop {
        tokio::select! {
            worked = &mut working => { worked?; break }
            _ = scrapes.tick() => if let Some(reporter) = &fleet.reporter { drop(reporter.scrape().await?) },
            _ = samples.tick() => {
                for (samples, (_, pid)) in resident.iter_mut().zip(processes(fleet)) {
                    samples.push(Usage::of(pid)?.resident as f64);
                }
            }
        }
    }
    let size = |(samples, (name, pid)): (Vec<f64>, _)| {
        Ok((name, Size { median: Spread::of(samples).median, peak: Usage::of(pid)?.peak as f64 }))
    };
    resident.into_iter().zip(processes(fleet)).map(size).collect()
}

fn processes(fleet: &Fleet) -> Vec<(&'static str, u32)> {
    let workers = fleet.workers.iter().map(|worker| ("worker", worker.pid()));
    let producer = fleet.producer.iter().map(|producer| ("producer", producer.pid()));
    let reporter = fleet.reporter.iter().map(|reporter| ("reporter", reporter.service.pid()));
    workers.chain(producer).chain(reporter).collect()
}
