//! Several builds of Holdfast under the same load, in turn: what a change is worth, measured in one run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;
use shared::task::TaskKind;

use crate::measure::{ProcessorTime, Spread, number};
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Load, Servers, publish};

/// The `builds` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Builds {
    /// What is to be compared, each with the directory of its `producer` and `worker`; the first is what the others are
    /// compared with
    #[arg(value_name = "NAME=DIRECTORY", required = true, value_parser = build)]
    compared: Vec<Build>,
    /// Tasks of each run
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Runs of each build, after a short one to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Tasks that travel in one message
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
    per_message: u16,
    /// Slots of the worker
    #[arg(long, default_value_t = 2000, value_parser = super::from_one_to(30_000))]
    slots: usize,
}

/// One build's programs.
#[derive(Debug, Clone)]
struct Build {
    name: String,
    programs: PathBuf,
}

fn build(text: &str) -> Result<Build, String> {
    let (name, programs) = text.split_once('=').ok_or("is not NAME=DIRECTORY")?;
    let programs = std::path::absolute(programs).map_err(|error| error.to_string())?;
    match ["producer", "worker"].iter().find(|program| !programs.join(program).is_file()) {
        Some(missing) => Err(format!("{} has no {missing}", programs.display())),
        None => Ok(Build { name: name.to_owned(), programs }),
    }
}

/// What one build has shown in one run.
#[derive(Debug)]
struct Run {
    per_second: f64,
    processors: BTreeMap<&'static str, f64>,
}

/// The jobs that the tasks belong to, in turn.
const JOBS: usize = 1000;

impl Builds {
    /// Runs the scenario; fails if a task was lost or doubled.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let names: BTreeSet<&str> = self.compared.iter().map(|build| build.name.as_str()).collect();
        ensure!(names.len() == self.compared.len(), "two builds have one name");
        // Each has its own schema.
        let mut databases = Vec::new();
        for number in 0..self.compared.len() {
            databases.push(servers.create_database(&format!("build_{number}")).await?);
        }
        let mut runs: Vec<Vec<Run>> = self.compared.iter().map(|_| Vec::new()).collect();
        for round in 0..usize::from(self.runs) {
            // Another one begins each time: what the server still has to do after one run falls to the next.
            for place in 0..self.compared.len() {
                let place = (place + round) % self.compared.len();
                let Build { name, .. } = &self.compared[place];
                let run = self.measure(servers, &self.compared[place], &databases[place]).await;
                let run = run.with_context(|| name.clone())?;
                eprintln!("run {} of {}: {name} {:.0} tasks/s", round + 1, self.runs, run.per_second);
                runs[place].push(run);
            }
        }
        Ok(self.report(&runs))
    }

    /// Starts a build, warms it up, loads it and stops it, so that none disturbs another.
    async fn measure(&self, servers: &Servers, build: &Build, database_url: &str) -> anyhow::Result<Run> {
        let layout = Layout {
            database_url: Some(database_url.to_owned()),
            programs: Some(build.programs.clone()),
            jobs: JOBS,
            settings: BTreeMap::from([("pools.probe.slots".to_owned(), self.slots.to_string())]),
            producer: true,
            ..Layout::default()
        };
        let fleet = Fleet::start(servers, layout).await?;
        let mut books = Books::open(&fleet.database, servers.amqp_url(), TaskKind::Probe).await?;
        let load = Load { per_message: self.per_message.into(), ..Load::probes(JOBS) };
        let tasks = self.tasks as usize;
        let (mut seconds, mut processors) = (0.0, BTreeMap::new());
        for tasks in [tasks / 5 + 1, tasks] {
            books.ask(tasks)?;
            let (began, started) = (ProcessorTime::now()?, Instant::now());
            publish(servers.amqp_url(), &load, tasks).await?;
            books.until_recorded(&fleet.database).await?;
            seconds = started.elapsed().as_secs_f64();
            processors = ProcessorTime::now()?.per_task(&began, tasks);
        }
        books.check(&fleet.database).await?;
        fleet.stop().await?;
        Ok(Run { per_second: tasks as f64 / seconds, processors })
    }

    fn report(&self, of_builds: &[Vec<Run>]) -> Report {
        let mut table = Table::new([
            "build",
            "tasks/s",
            "ratio",
            "least",
            "most",
            "postgres, µs a task",
            "worker, µs a task",
        ]);
        let mut figures = Vec::new();
        for (Build { name, .. }, runs) in self.compared.iter().zip(of_builds) {
            let rate = Spread::of(runs.iter().map(|run| run.per_second));
            let ratios = runs.iter().zip(&of_builds[0]).map(|(run, first)| run.per_second / first.per_second);
            let ratio = Spread::of(ratios);
            let used = |program| {
                Spread::of(runs.iter().map(|run| run.processors.get(program).copied().unwrap_or_default()))
            };
            let (postgres, worker) = (used("postgres"), used("worker"));
            table.row([
                name.clone(),
                number(rate.median),
                number(ratio.median),
                number(ratio.least),
                number(ratio.most),
                format!("{:.0}", postgres.median),
                format!("{:.0}", worker.median),
            ]);
            figures.push(json!({
                "build": name,
                "tasks_per_second": rate.median,
                "ratio": ratio.median,
                "runs": runs.iter().map(|run| run.per_second).collect::<Vec<_>>(),
            }));
        }
        Report {
            about: format!(
                "{} builds in turn, {} runs each of {} `simulated` probes over {JOBS} jobs, {} a message; 1 worker with {} \
                 slots. A ratio is the median of the ratios to the first build in the same round; none was lost or doubled.",
                self.compared.len(),
                self.runs,
                self.tasks,
                self.per_message,
                self.slots,
            ),
            tables: vec![table],
            json: json!({ "scenario": "builds", "tasks": self.tasks, "builds": figures }),
        }
    }
}
