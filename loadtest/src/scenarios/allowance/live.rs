//! How soon workers do what people ask for while they run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::{definitions, start};
use crate::measure::Moment;
use crate::system::{EffectLog, Load, Servers, What, producer, publish};

const WORKERS: usize = 2;
const ROUNDS: u32 = 5;
/// How long one looks after each command.
const LOOK: Duration = Duration::from_secs(4);
/// Tasks that may start in a second: enough to see to a hundredth of one when they stop.
const RATE: u32 = 100;

/// What people ask for, and what shows that it applies.
const COMMANDS: [(&str, &[&str], Shows); 4] = [
    ("pools pause", &["pools", "pause", "probe"], Shows::LastStart),
    ("pools resume", &["pools", "resume", "probe"], Shows::FirstStart),
    (
        "limits set (nearly none)",
        &["limits", "set", "owner:owner-0", "--starts-per-minute", "0.001"],
        Shows::LastStart,
    ),
    ("limits clear", &["limits", "clear", "owner:owner-0"], Shows::FirstStart),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// Nothing starts any more.
    LastStart,
    /// Something starts again.
    FirstStart,
}

/// How soon a command applied on all workers.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Live {
    pub(super) command: &'static str,
    /// In seconds after the command had ended, at the worst.
    pub(super) worst: f64,
}

/// Measures all commands, each several times.
pub(super) async fn measure(servers: &Servers) -> anyhow::Result<Vec<Live>> {
    let limits = json!([{ "owner": "owner-0", "starts_per_minute": RATE * 60, "burst": 10 }]);
    let mut effects = EffectLog::new(servers);
    let definitions = definitions(servers, &[Duration::ZERO], None, &limits);
    let fleet = start(servers, "live", WORKERS, definitions, Some(&effects)).await?;
    let tasks = RATE * ROUNDS * u32::try_from(COMMANDS.len() + 2)? * u32::try_from(LOOK.as_secs())?;
    publish(servers.amqp_url(), &Load { per_message: 100, ..Load::probes(1) }, usize::try_from(tasks)?)
        .await?;
    sleep(LOOK * 4).await;
    let mut worst = COMMANDS.map(|(command, ..)| Live { command, worst: 0.0 });
    for round in 1..=ROUNDS {
        for ((_, arguments, shows), live) in COMMANDS.iter().zip(&mut worst) {
            effects.take()?;
            producer(servers, &fleet.database_url, arguments)?;
            let asked = Moment::now();
            sleep(LOOK).await;
            // Of each worker, and then the later one.
            let mut by_worker: BTreeMap<Uuid, f64> = BTreeMap::new();
            for effect in effects.take()?.into_iter().filter(|effect| effect.what == What::Started) {
                let Some(after) = effect.at.since(asked).map(|after| after.as_secs_f64()) else { continue };
                let of = by_worker.entry(effect.worker).or_insert(after);
                *of = if *shows == Shows::LastStart { of.max(after) } else { of.min(after) };
            }
            let all = *shows == Shows::LastStart || by_worker.len() == WORKERS;
            ensure!(all, "{} of {WORKERS} workers started something again", by_worker.len());
            live.worst = by_worker.into_values().fold(live.worst, f64::max);
        }
        eprintln!("round {round} of {ROUNDS}");
    }
    fleet.stop().await?;
    ensure!(
        worst.iter().all(|live| live.worst < LOOK.as_secs_f64() - 0.5),
        "a command did not apply: {worst:?}"
    );
    Ok(worst.to_vec())
}
