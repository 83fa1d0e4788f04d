//! How busy slots are kept by tasks that take a while, against slots that are never idle.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::measure::{Moment, Spread, number};
use crate::report::{Report, Table};
use crate::system::{Books, EffectLog, Fleet, Layout, Load, Servers, What, publish};

/// The `slots` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Slots {
    /// Tasks of each run
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Runs, after a short one to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Slots of each worker
    #[arg(long = "slots", value_name = "SLOTS", default_value_t = 25)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    per_worker: u16,
    /// How long each task takes
    #[arg(long, default_value = "100ms", value_parser = duration)]
    duration: Duration,
}

/// The jobs that the tasks belong to, in turn.
const JOBS: usize = 1000;
/// Rounds of all slots to warm up.
const WARM_UP: usize = 20;

/// What one run has found.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    /// The part of the ideal from the first publish to the last commit.
    whole: f64,
    /// The part of the ideal from the first start to the last one.
    busy: f64,
    /// How long an attempt took, in the mean: more than it should, as timers are late.
    attempt_ms: f64,
    /// How long a slot was idle between two attempts, in the mean.
    idle_ms: f64,
    /// Attempts that ended in a second, between the first start and the last one.
    tasks_per_second: f64,
}

impl Slots {
    /// Runs the scenario; fails if a task was lost, doubled or begun twice.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        ensure!(
            self.tasks > self.all(),
            "--tasks: more than {}, as many as there are slots: each is to be used again",
            self.all()
        );
        let mut effects = EffectLog::new(servers);
        let slots = ("pools.probe.slots".to_owned(), self.per_worker.to_string());
        let layout = Layout {
            jobs: JOBS,
            source: json!({ "duration": humantime::format_duration(self.duration).to_string() }),
            workers: self.workers.into(),
            settings: BTreeMap::from([slots, effects.setting()]),
            ..Layout::default()
        };
        let fleet = Fleet::start(servers, layout).await?;
        let load = Load::probes(JOBS);
        let mut books = Books::open(&fleet.database, servers.amqp_url(), load.kind).await?;
        let warm_up = (WARM_UP * self.all() as usize).min(self.tasks as usize);
        let mut runs = Vec::new();
        for run in 0..=self.runs {
            let tasks = if run == 0 { warm_up } else { self.tasks as usize };
            books.ask(tasks)?;
            let started = Instant::now();
            publish(servers.amqp_url(), &load, tasks).await?;
            books.until_recorded(&fleet.database).await?;
            let took = started.elapsed();
            let attempts = attempts(&mut effects)?;
            if run > 0 {
                let found = self.judge(&attempts, took)?;
                eprintln!(
                    "run {run} of {}: {:.1} % of the ideal from the first start to the last",
                    self.runs,
                    100.0 * found.busy
                );
                runs.push(found);
            }
        }
        books.check(&fleet.database).await?;
        fleet.stop().await?;
        Ok(self.report(&runs))
    }

    /// The slots of all workers.
    fn all(&self) -> u32 {
        u32::from(self.workers) * u32::from(self.per_worker)
    }

    fn judge(&self, attempts: &[Attempt], took: Duration) -> anyhow::Result<Run> {
        let (slots, tasks) = (f64::from(self.all()), attempts.len() as f64);
        let starts = || attempts.iter().map(|attempt| attempt.started);
        let (first, last) = starts().min().zip(starts().max()).context("no attempt was written down")?;
        let window = last.since(first).unwrap_or_default().as_secs_f64();
        // The last start of each slot is no longer followed by another: these are outside of the window.
        let inside = tasks - slots;
        let (ideal, cycle) = (self.duration.as_secs_f64(), slots * window / inside);
        let attempt = attempts.iter().map(|attempt| attempt.took.as_secs_f64()).sum::<f64>() / tasks;
        Ok(Run {
            whole: tasks * ideal / (slots * took.as_secs_f64()),
            busy: ideal / cycle,
            attempt_ms: attempt * 1e3,
            idle_ms: (cycle - attempt) * 1e3,
            tasks_per_second: inside / window,
        })
    }

    fn report(&self, runs: &[Run]) -> Report {
        let Self { tasks, workers, per_worker, .. } = self;
        let duration = humantime::format_duration(self.duration);
        let ideal = f64::from(self.all()) / self.duration.as_secs_f64();
        let spread = |part: fn(&Run) -> f64| Spread::of(runs.iter().map(part));
        let percent = |part: fn(&Run) -> f64| Spread::of(runs.iter().map(|run| part(run) * 100.0));
        let (busy, whole) = (spread(|run| run.busy), spread(|run| run.whole));
        let mut table = Table::new(["", "median", "least", "most"]);
        for (what, Spread { median, least, most }) in [
            ("of the ideal, first to last start, %", percent(|run| run.busy)),
            ("of the ideal, first publish to last commit, %", percent(|run| run.whole)),
            ("tasks/s, first to last start", spread(|run| run.tasks_per_second)),
            ("an attempt takes, ms", spread(|run| run.attempt_ms)),
            ("a slot is idle between two attempts, ms", spread(|run| run.idle_ms)),
        ] {
            table.row([what.to_owned(), number(median), number(least), number(most)]);
        }
        Report {
            about: format!(
                "{} runs of {tasks} `simulated` probes of {duration} over {JOBS} jobs, one a message, published as \
                 fast as the broker takes them; {workers} workers with {per_worker} slots each. Ideal are slots that never \
                 rest and attempts of exactly {duration}: {} tasks/s. From the first start to the last one all slots \
                 have work, so that the ramp and the end are left out; from the first publish to the last commit \
                 they are in. The starts are what the workers write down themselves. None was lost or doubled.",
                runs.len(),
                number(ideal),
            ),
            tables: vec![table],
            json: json!({
                "scenario": "slots",
                "tasks": tasks,
                "slots": self.all(),
                "ideal_per_second": ideal,
                "busy": busy.median,
                "whole": whole.median,
                "attempt_ms": spread(|run| run.attempt_ms).median,
                "idle_ms": spread(|run| run.idle_ms).median,
                "runs": runs,
            }),
        }
    }
}

/// One attempt, as its worker wrote it down.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    started: Moment,
    took: Duration,
}

/// The attempts since the last call, each of another task.
fn attempts(effects: &mut EffectLog) -> anyhow::Result<Vec<Attempt>> {
    let (mut started, mut attempts) = (HashMap::<Uuid, Moment>::new(), Vec::new());
    for effect in effects.take()? {
        match effect.what {
            What::Started => {
                ensure!(started.insert(effect.task, effect.at).is_none(), "{} began twice", effect.task);
            }
            What::Tick => {}
            What::Done => {
                let started = *started.get(&effect.task).context("an end without its beginning")?;
                attempts.push(Attempt { started, took: effect.at.since(started).unwrap_or_default() });
            }
        }
    }
    Ok(attempts)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("longer than nothing".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_that_never_rest_reach_the_ideal_and_those_that_rest_as_long_as_they_work_half_of_it() {
        let duration = Duration::from_millis(100);
        let slots = Slots { tasks: 20, runs: 1, workers: 1, per_worker: 2, duration };
        let judge = |cycle: Duration| {
            let first = Moment::now();
            let started = |number: u32| first.plus(cycle * (number / 2));
            let attempts: Vec<Attempt> =
                (0..20).map(|number| Attempt { started: started(number), took: duration }).collect();
            slots.judge(&attempts, cycle * 10).unwrap()
        };
        let near = |value: f64, expected: f64| (value - expected).abs() < 1e-6;
        let never = judge(duration);
        assert!(near(never.busy, 1.0) && near(never.whole, 1.0) && near(never.idle_ms, 0.0), "{never:?}");
        let half = judge(duration * 2);
        assert!(
            near(half.busy, 0.5) && near(half.idle_ms, 100.0) && near(half.attempt_ms, 100.0),
            "{half:?}"
        );
    }
}
