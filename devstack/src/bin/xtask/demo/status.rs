//! What the workers are at, as `reporter status` tells.

use std::{pin::pin, time::Duration};

use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{figures, programs::Programs, screen::Act};

/// Often enough for a person, seldom enough for the machine: each look is a process.
const INTERVAL: Duration = Duration::from_secs(1);

/// The parts of the status that a demo looks at.
#[derive(Deserialize)]
pub(super) struct Status {
    waiting: Vec<Waiting>,
    running: Vec<Running>,
    /// Tasks that will not be tried again.
    pub(super) dead: u64,
    executions: Vec<Tally>,
}

#[derive(Deserialize)]
struct Waiting {
    tasks: u64,
}

#[derive(Deserialize)]
struct Running {
    kind: String,
    target: Option<String>,
    progress: Option<Progress>,
}

#[derive(Deserialize)]
struct Progress {
    phase: Option<String>,
    bytes_done: Option<u64>,
    bytes_total: Option<u64>,
}

#[derive(Deserialize)]
struct Tally {
    kind: String,
    outcome: String,
    count: u64,
}

impl Status {
    pub(super) async fn read(programs: &Programs) -> anyhow::Result<Self> {
        programs.ask("reporter", &["status", "--json"]).await
    }

    /// Whether nothing waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.iter().all(|waiting| waiting.tasks == 0)
    }

    /// How many attempts of a kind succeeded.
    pub(super) fn succeeded(&self, kind: &str) -> u64 {
        let of_kind = self.executions.iter().filter(|tally| tally.kind == kind);
        of_kind
            .filter(|tally| matches!(&*tally.outcome, "success" | "warning"))
            .map(|tally| tally.count)
            .sum()
    }

    /// What runs, in one line.
    pub(super) fn activity(&self) -> String {
        if self.running.is_empty() {
            let waiting = self.waiting.iter().map(|waiting| waiting.tasks).sum();
            return format!("{} waiting", figures::count(waiting, "task", "tasks"));
        }
        self.running.iter().map(Running::describe).collect::<Vec<_>>().join(" | ")
    }
}

impl Running {
    fn describe(&self) -> String {
        let mut text = self.kind.clone();
        if let Some(target) = &self.target {
            text = format!("{text} {target}");
        }
        let Some(progress) = &self.progress else { return text };
        if let Some(phase) = &progress.phase {
            text = format!("{text}: {phase}");
        }
        match (progress.bytes_done, progress.bytes_total) {
            (Some(done), Some(total)) if total > 0 => {
                let percent = (100.0 * done as f64 / total as f64).min(100.0);
                format!("{text} {} of {} ({percent:.0} %)", figures::bytes(done), figures::bytes(total))
            }
            (Some(done), _) if done > 0 => format!("{text} {}", figures::bytes(done)),
            _ => text,
        }
    }
}

/// Waits for `work`, telling meanwhile what the workers are at.
pub(super) async fn while_telling<T>(
    act: &mut Act,
    programs: &Programs,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut work = pin!(work);
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => act.tell(&Status::read(programs).await?.activity()),
        }
    }
}
