//! What limits cost: the same load without any, with thousands of keys that each have one, and beside a long line.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use shared::task::TaskKind;

use crate::measure::{Spread, number};
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Load, Servers, publish};

/// The `limits` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Limits {
    /// Tasks of each run
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Runs of each, in turn, after a short one to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Jobs, each with an owner and a source of its own: two keys
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Tasks that wait for one target
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    waiting: u32,
    /// Slots of the worker
    #[arg(long, default_value_t = 2000, value_parser = super::from_one_to(30_000))]
    slots: usize,
}

/// What the load is run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    /// A rate for each key, which is never reached.
    Rates,
    /// A cap for each key, which is never reached.
    Caps,
    /// Tasks that wait for a target whose rate is used up.
    Line,
}

const ALL: [With; 4] = [With::Nothing, With::Rates, With::Caps, With::Line];

/// How long it may take until all that is to wait stands in line.
const PATIENCE: Duration = Duration::from_mins(10);

impl Limits {
    /// Runs the scenario; fails if a task was lost or doubled.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let mut databases = Vec::new();
        for with in ALL {
            let database = servers.create_database(&format!("{with:?}").to_lowercase()).await?;
            if with == With::Line {
                self.form_line(servers, &database).await.context("forming the line")?;
            }
            databases.push(database);
        }
        let mut runs: Vec<Vec<f64>> = ALL.iter().map(|_| Vec::new()).collect();
        for round in 0..usize::from(self.runs) {
            // Another one begins each time: what the server still has to do after one run falls to the next.
            for place in (0..ALL.len()).map(|place| (place + round) % ALL.len()) {
                let per_second = self.measure(servers, ALL[place], &databases[place]).await?;
                eprintln!("run {} of {}: {:?} {per_second:.0} tasks/s", round + 1, self.runs, ALL[place]);
                runs[place].push(per_second);
            }
        }
        Ok(self.report(&runs))
    }

    async fn start(&self, servers: &Servers, with: With, database: &str) -> anyhow::Result<Fleet> {
        let layout = Layout {
            database_url: Some(database.to_owned()),
            definitions: Some(self.definitions(servers, with)),
            settings: BTreeMap::from([("pools.probe.slots".to_owned(), self.slots.to_string())]),
            producer: true,
            ..Layout::default()
        };
        Fleet::start(servers, layout).await
    }

    /// Has tasks wait for the target `full`.
    async fn form_line(&self, servers: &Servers, database: &str) -> anyhow::Result<()> {
        let fleet = self.start(servers, With::Line, database).await?;
        let load = Load { params: r#"{"target":"full"}"#, per_message: 100, ..Load::probes(self.jobs()) };
        publish(servers.amqp_url(), &load, self.waiting as usize).await?;
        let (client, started) = (fleet.database.client().await?, Instant::now());
        loop {
            let waiting = "select count(*) from task where waiting_for = 'limit:target:full'";
            let waiting: i64 = client.query_one(waiting, &[]).await?.try_get(0)?;
            if waiting == i64::from(self.waiting) {
                break;
            }
            ensure!(started.elapsed() < PATIENCE, "{waiting} of {} tasks stand in line", self.waiting);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        eprintln!("{} tasks stand in line after {:.1} s", self.waiting, started.elapsed().as_secs_f64());
        fleet.stop().await
    }

    /// Starts the programs, warms them up, loads and stops them, so that none disturbs another.
    async fn measure(&self, servers: &Servers, with: With, database: &str) -> anyhow::Result<f64> {
        let fleet = self.start(servers, with, database).await?;
        let mut books = Books::open(&fleet.database, servers.amqp_url(), TaskKind::Probe).await?;
        let (load, tasks) = (Load::probes(self.jobs()), self.tasks as usize);
        let mut seconds = 0.0;
        for tasks in [tasks / 5 + 1, tasks] {
            books.ask(tasks)?;
            let started = Instant::now();
            publish(servers.amqp_url(), &load, tasks).await?;
            books.until_recorded(&fleet.database).await?;
            seconds = started.elapsed().as_secs_f64();
        }
        books.check(&fleet.database).await?;
        fleet.stop().await?;
        Ok(tasks as f64 / seconds)
    }

    const fn jobs(&self) -> usize {
        self.jobs as usize
    }

    fn definitions(&self, servers: &Servers, with: With) -> Value {
        let jobs = 0..self.jobs;
        let limit = |key: &str, name: String| match with {
            With::Nothing | With::Line => None,
            With::Rates => Some(json!({ key: name, "starts_per_minute": 6_000_000, "burst": 100_000 })),
            With::Caps => Some(json!({ key: name, "concurrency": 100_000 })),
        };
        let limits: Vec<Value> = jobs
            .clone()
            .flat_map(|job| [limit("owner", format!("owner-{job}")), limit("source", format!("host-{job}"))])
            .flatten()
            .collect();
        let jobs: Vec<Value> = jobs
            .map(|job| {
                json!({
                    "name": format!("load-{job}"), "owner": format!("owner-{job}"), "targets": ["load", "full"],
                    "source": { "kind": "simulated", "failure_domain": format!("host-{job}"), "site": "hq", "media": "disk" },
                })
            })
            .collect();
        let target = |name: &str| {
            json!({
                "name": name, "repository": servers.directory().join(name), "site": "hq", "media": "nas",
                "failure_domain": name, "password": { "env": "UNUSED" },
            })
        };
        let mut full = target("full");
        if with == With::Line {
            // One in sixteen hours.
            full["limits"] = json!({ "starts_per_minute": 0.001 });
        }
        json!({ "targets": [target("load"), full], "jobs": jobs, "limits": limits })
    }

    fn report(&self, runs: &[Vec<f64>]) -> Report {
        let mut table = Table::new(["", "tasks/s", "ratio", "least", "most"]);
        let mut figures = Vec::new();
        for (with, of_one) in ALL.iter().zip(runs) {
            let what = match with {
                With::Nothing => "no limit".to_owned(),
                With::Rates => format!("{} keys with a rate each", 2 * self.jobs),
                With::Caps => format!("{} keys with a cap each", 2 * self.jobs),
                With::Line => format!("{} tasks wait for one target", self.waiting),
            };
            let rate = Spread::of(of_one.iter().copied());
            let ratio = Spread::of(of_one.iter().zip(&runs[0]).map(|(run, bare)| run / bare));
            let Spread { median, least, most } = ratio;
            table.row([what.clone(), number(rate.median), number(median), number(least), number(most)]);
            figures.push(json!({ "with": what, "tasks_per_second": rate.median, "ratio": ratio.median, "runs": of_one }));
        }
        Report {
            about: format!(
                "{} runs each, in turn, of {} `simulated` probes over {} jobs with an owner and a source of their own, one a \
                 message; 1 worker with {} slots. No task of the load has to wait for a limit. A ratio is the median of the \
                 ratios to the run without limits in the same round; none was lost or doubled.",
                self.runs, self.tasks, self.jobs, self.slots,
            ),
            tables: vec![table],
            json: json!({ "scenario": "limits", "tasks": self.tasks, "variants": figures }),
        }
    }
}
