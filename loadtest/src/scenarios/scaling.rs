//! How far a fleet scales: what workers cost the servers, measured, and a day with an autoscaler, in virtual time.

mod load;
mod plot;
mod rule;
mod simulation;
mod standing;

use std::path::PathBuf;

use anyhow::ensure;
use serde::Serialize;
use serde_json::json;

use crate::measure::number;
use crate::report::{Report, Table};
use crate::system::Servers;
use load::Arrivals;
use reporter::signal::WITHIN;
use simulation::{By, Outcome, World};
use standing::{Cost, Standing};

/// The `fleet` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Scaling {
    /// Sizes of the fleets that are started to see what they cost while they are idle
    #[arg(long, value_delimiter = ',', default_values_t = [4, 16, 32])]
    sizes: Vec<u16>,
    /// Tasks that are run to see what one costs
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..))]
    tasks: u32,
    /// Backups of the simulated night
    #[arg(long, default_value_t = 90_000)]
    nightly: u32,
    /// Slots of each simulated worker
    #[arg(long, default_value_t = 8, value_parser = super::from_one_to(1000))]
    slots: usize,
    /// The most simulated workers
    #[arg(long, default_value_t = 1000, value_parser = super::from_one_to(10_000))]
    most: usize,
    /// Also draws the day, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// The processors of the servers for which capacities are reckoned.
const PROCESSORS: f64 = 2.0;
/// The sizes for which they are.
const SIZES: [usize; 5] = [1, 10, 100, 300, 1000];
/// The most connections to the database that a worker opens: its default.
const POOL_SIZE: usize = 30;
/// A steady load, in tasks a second of half a minute each.
const STEADY: f64 = 20.0;
const STEADY_SECONDS: u32 = 4 * 3600;
/// How long what runs may go on in a worker that stops, in seconds: the default, and as long as nearly everything takes.
const GRACE: u32 = 30;
const LONG_GRACE: u32 = 4 * 3600;
/// When half of the workers die, in seconds since midnight.
const DISASTER: u32 = 21 * 3600 + 120;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    standing: Vec<Standing>,
    database: Cost,
    broker: Cost,
    /// Processor seconds of the database and of the broker for a task.
    database_task: f64,
    broker_task: f64,
}

/// A simulated world and what came of it.
struct Simulated {
    what: &'static str,
    by: String,
    tasks: usize,
    slots: usize,
    outcome: Outcome,
}

impl Scaling {
    /// Runs the scenario.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        ensure!(self.sizes.len() > 1, "--sizes: two at least, or nothing can be said of a third");
        let mut standing = Vec::new();
        for workers in &self.sizes {
            let of = standing::measure(servers, usize::from(*workers)).await?;
            eprintln!(
                "{workers} idle workers: {:.3} processors of the database, {:.3} of the broker",
                of.database, of.broker
            );
            standing.push(of);
        }
        let (database_task, broker_task) = standing::per_task(servers, self.tasks as usize).await?;
        let database = Cost::of(&standing, |of| of.database);
        let broker = Cost::of(&standing, |of| of.broker);
        let measured = Measured { standing, database, broker, database_task, broker_task };
        let simulated = self.simulate(&measured);
        if let Some(path) = &self.plot {
            plot::draw(path, &simulated[0].outcome.minutes, self.slots)?;
        }
        Ok(self.report(&measured, &simulated))
    }

    fn simulate(&self, measured: &Measured) -> Vec<Simulated> {
        let capacity = |workers: usize| measured.tasks_per_second(workers);
        let world = |arrivals: &Arrivals, seconds, by, grace, disaster| World {
            arrivals: arrivals.clone(),
            seconds,
            slots: self.slots,
            most: self.most,
            by,
            grace,
            disaster,
            capacity: &capacity,
        };
        let (day, steady) = (load::day(self.nightly), load::steady(STEADY, STEADY_SECONDS));
        let run = |what, by, grace, arrivals: &Arrivals, seconds, disaster| {
            let rule = match by {
                By::Signal => format!("signal, grace {grace} s"),
                By::QueueDepth => format!("queue depth, grace {grace} s"),
            };
            let outcome = simulation::run(&world(arrivals, seconds, by, grace, disaster));
            eprintln!("simulated: {what}, by {rule}");
            Simulated { what, by: rule, tasks: arrivals.len(), slots: self.slots, outcome }
        };
        let disaster = Some(DISASTER);
        vec![
            run("a day", By::Signal, LONG_GRACE, &day, load::DAY, disaster),
            run("a day", By::Signal, GRACE, &day, load::DAY, disaster),
            run("a day", By::QueueDepth, LONG_GRACE, &day, load::DAY, disaster),
            run("steady", By::Signal, GRACE, &steady, STEADY_SECONDS, None),
            run("steady", By::QueueDepth, GRACE, &steady, STEADY_SECONDS, None),
        ]
    }

    fn report(&self, measured: &Measured, simulated: &[Simulated]) -> Report {
        Report {
            about: format!(
                "Measured: idle workers with all their pools and a limited rate, {}; and what one of {} probes costs through \
                 the whole pipeline. Reckoned from that: larger fleets, and what is left for tasks, with {PROCESSORS} processors \
                 for the database and as many for the broker. Simulated in virtual time, in steps of a second: workers with {} \
                 slots, from 1 to {}, under the autoscaler of Kubernetes with its defaults and a start of 40 s. A day has {} \
                 backups at night and 50 of about three hours, 5000 short tasks each hour and {} more by day, and half of all workers die at 21:02; a steady \
                 load is {STEADY} tasks a second of 30 s each, for 4 hours. Signal: the slots that are needed, as the reporter shows them: \
                 those that run, and what it takes to have all that waits begin within {} s. Queue depth: one slot for each task that waits. A reversal undoes the change \
                 before it within ten minutes.",
                list(&self.sizes),
                number(self.tasks.into()),
                self.slots,
                self.most,
                number(self.nightly.into()),
                number(simulated[0].tasks as f64 - f64::from(self.nightly / 9 * 9 + 50 + 24 * 5000)),
                number(WITHIN),
            ),
            tables: vec![measured.table(), measured.reckoned(), table(simulated)],
            json: json!({
                "scenario": "fleet",
                "measured": measured,
                "simulated": simulated.iter().map(Simulated::json).collect::<Vec<_>>(),
            }),
        }
    }
}

impl Measured {
    /// What is left for tasks, in a second.
    fn tasks_per_second(&self, workers: usize) -> f64 {
        let left = |cost: Cost, task: f64| (PROCESSORS - cost.processors(workers)) / task;
        left(self.database, self.database_task).min(left(self.broker, self.broker_task)).max(0.0)
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            "idle workers, measured",
            "database, processors",
            "broker, processors",
            "connections to the database",
            "to the broker",
            "memory of a worker, MiB",
        ]);
        for of in &self.standing {
            table.row([
                of.workers.to_string(),
                format!("{:.3}", of.database),
                format!("{:.3}", of.broker),
                of.database_connections.to_string(),
                of.broker_connections.to_string(),
                number(of.worker_mib),
            ]);
        }
        table
    }

    fn reckoned(&self) -> Table {
        let mut table = Table::new([
            "idle workers, reckoned",
            "database, processors",
            "broker, processors",
            "connections to the database, idle",
            "at the most",
            "to the broker",
            "tasks/s that are left",
        ]);
        let each = |of: &dyn Fn(&Standing) -> f64| {
            self.standing.last().map_or(0.0, |standing| of(standing) / standing.workers as f64)
        };
        let database = each(&|of| of.database_connections as f64);
        let broker = each(&|of| of.broker_connections as f64);
        for workers in SIZES {
            table.row([
                number(workers as f64).trim_end_matches(".00").to_owned(),
                format!("{:.3}", self.database.processors(workers)),
                format!("{:.3}", self.broker.processors(workers)),
                number((database * workers as f64).ceil()),
                number((POOL_SIZE * workers) as f64),
                number((broker * workers as f64).ceil()),
                number(self.tasks_per_second(workers)),
            ]);
        }
        table
    }
}

impl Simulated {
    fn wait(&self, part: f64) -> u32 {
        let mut waits = self.outcome.waits.clone();
        waits.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let place = (part * waits.len().saturating_sub(1) as f64) as usize;
        waits.get(place).copied().unwrap_or(0)
    }

    /// The part of the time in which slots were busy.
    fn used(&self) -> f64 {
        self.outcome.busy_seconds / (self.outcome.worker_seconds * self.slots as f64)
    }

    fn most(&self) -> usize {
        self.outcome.minutes.iter().map(|minute| minute.workers).max().unwrap_or(0)
    }

    fn json(&self) -> serde_json::Value {
        let Outcome { handed_back, wasted, lost, worker_seconds, done, changes, reversals, .. } =
            &self.outcome;
        json!({
            "what": self.what, "by": self.by, "tasks": self.tasks, "done": done, "most_workers": self.most(),
            "worker_hours": worker_seconds / 3600.0, "slots_used": self.used(), "wait_p50_s": self.wait(0.5),
            "wait_p99_s": self.wait(0.99), "handed_back": handed_back, "wasted_slot_hours": wasted / 3600.0, "lost": lost,
            "changes": changes, "reversals": reversals,
        })
    }
}

fn table(simulated: &[Simulated]) -> Table {
    let mut table = Table::new([
        "simulated",
        "by",
        "tasks",
        "done",
        "most workers",
        "worker-hours",
        "slots used",
        "wait p50, s",
        "p99",
        "changes",
        "reversals",
        "handed back",
        "slot-hours in vain",
    ]);
    for of in simulated {
        table.row([
            of.what.to_owned(),
            of.by.clone(),
            number(of.tasks as f64),
            number(of.outcome.done as f64),
            of.most().to_string(),
            number(of.outcome.worker_seconds / 3600.0),
            format!("{:.2}", of.used()),
            of.wait(0.5).to_string(),
            of.wait(0.99).to_string(),
            of.outcome.changes.to_string(),
            of.outcome.reversals.to_string(),
            of.outcome.handed_back.to_string(),
            number(of.outcome.wasted / 3600.0),
        ]);
    }
    table
}

fn list(sizes: &[u16]) -> String {
    sizes.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}
