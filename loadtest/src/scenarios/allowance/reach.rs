//! What part of the allowed is reached while workers join, leave, die and hang.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::{LEASE, PATIENCE, definitions, start};
use crate::measure::Moment;
use crate::system::{Effect, EffectLog, Fleet, Load, Servers, What, publish};

/// Workers at first.
pub(super) const WORKERS: usize = 4;
/// Tasks of either rate that may start in a second, and at once: a strict rate needs more than those of a second.
pub(super) const RATE: f64 = 100.0;
const BURST: u32 = 110;
/// Tasks of the cap that may run at once, and how long one takes.
pub(super) const CAP: usize = 20;
pub(super) const TAKES: Duration = Duration::from_secs(2);

/// The limits, by the job whose owner comes under them.
pub(super) const LIMITS: [(&str, &str); 3] =
    [("load-0", "a strict rate"), ("load-1", "a rate"), ("load-2", "a cap")];

/// What becomes of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Nothing,
    Joins,
    Leaves,
    Dies,
    Hangs,
}

/// In their order.
pub(super) const EVENTS: [Event; 5] =
    [Event::Nothing, Event::Joins, Event::Leaves, Event::Dies, Event::Hangs];

impl Event {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "all workers stay",
            Self::Joins => "a worker joins",
            Self::Leaves => "a worker leaves",
            Self::Dies => "a worker dies",
            Self::Hangs => "a worker hangs",
        }
    }
}

/// What came of one event.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Part {
    pub(super) event: Event,
    /// The part of the allowed that was reached, by limit.
    pub(super) reached: [f64; 3],
}

/// Measures all events in turn; fails if a rate or a cap was exceeded at any time.
pub(super) async fn measure(servers: &Servers, length: Duration) -> anyhow::Result<Vec<Part>> {
    let limits = json!([
        { "owner": "owner-0", "starts_per_minute": RATE * 60.0, "burst": BURST, "strict": true },
        { "owner": "owner-1", "starts_per_minute": RATE * 60.0, "burst": BURST },
        { "owner": "owner-2", "concurrency": CAP },
    ]);
    let mut effects = EffectLog::new(servers);
    let definitions = definitions(servers, &[Duration::ZERO, Duration::ZERO, TAKES], None, &limits);
    let mut fleet = start(servers, "reach", WORKERS, definitions, Some(&effects)).await?;
    // More of each than all parts, and what lies between them, can start.
    let seconds = (length + LEASE * 2) * u32::try_from(EVENTS.len())?;
    let tasks = 3 * usize::try_from(seconds.as_secs())? * 150;
    publish(servers.amqp_url(), &Load { per_message: 100, ..Load::probes(3) }, tasks).await?;
    let mut times = Vec::new();
    for event in EVENTS {
        // The shares of rates have grown to what they will be.
        sleep(LEASE * 2).await;
        eprintln!("{}", event.name());
        let from = Moment::now();
        match event {
            Event::Nothing => {}
            Event::Joins => fleet.add_worker()?,
            Event::Leaves => _ = fleet.workers.remove(0).stop(PATIENCE).await?,
            Event::Dies => _ = fleet.workers.remove(0).kill().await?,
            Event::Hangs => fleet.workers[0].pause()?,
        }
        sleep(length.saturating_sub(Moment::now().since(from).unwrap_or_default())).await;
        times.push((event, from, Moment::now()));
    }
    fleet.workers[0].resume()?;
    let in_line = "select count(distinct waiting_for) from task where waiting_for like 'limit:owner:%'";
    let in_line: i64 = fleet.database.client().await?.query_one(in_line, &[]).await?.try_get(0)?;
    ensure!(in_line == 3, "of {} limits, {in_line} had tasks waiting to the end", LIMITS.len());
    let by_job = by_job(&fleet, effects.take()?).await?;
    fleet.stop().await?;
    judge(&by_job, &times)
}

type ByJob = HashMap<String, Vec<Effect>>;

/// The effects of each job, in their order.
async fn by_job(fleet: &Fleet, effects: Vec<Effect>) -> anyhow::Result<ByJob> {
    let statement = "select of.id, j.name from (
             select task_id as id, job_id from execution union select task_id, job_id from lease
             union select id, job_id from task) as of join job j on j.id = of.job_id";
    let rows = fleet.database.client().await?.query(statement, &[]).await?;
    let jobs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let jobs: HashMap<Uuid, String> = jobs.collect::<anyhow::Result<_>>()?;
    let mut by_job = ByJob::new();
    for effect in effects {
        if let Some(job) = jobs.get(&effect.task) {
            by_job.entry(job.clone()).or_default().push(effect);
        }
    }
    for effects in by_job.values_mut() {
        effects.sort_by_key(|effect| effect.at);
    }
    Ok(by_job)
}

fn judge(by_job: &ByJob, times: &[(Event, Moment, Moment)]) -> anyhow::Result<Vec<Part>> {
    let of = |job: usize| by_job.get(LIMITS[job].0).map(Vec::as_slice).unwrap_or_default();
    for (job, what) in LIMITS.iter().map(|(_, what)| what).enumerate().take(2) {
        ensure!(keeps_rate(of(job)), "more tasks of {what} started than it allows");
    }
    let attempts = attempts(of(2));
    let most = most_at_once(&attempts);
    ensure!(most <= CAP, "{most} tasks of the cap ran at once");
    let part = |(event, from, to): &(Event, Moment, Moment)| {
        let seconds = to.since(*from).unwrap_or_default().as_secs_f64();
        let rate = |job: usize| {
            let starts = of(job).iter().filter(|effect| effect.what == What::Started);
            starts.filter(|effect| effect.at >= *from && effect.at < *to).count() as f64 / (RATE * seconds)
        };
        let busy = |(began, ended): &(Moment, Moment)| {
            (*ended).min(*to).since((*began).max(*from)).unwrap_or_default()
        };
        let busy = attempts.iter().map(busy).sum::<Duration>().as_secs_f64();
        Part { event: *event, reached: [rate(0), rate(1), busy / (CAP as f64 * seconds)] }
    };
    let parts: Vec<Part> = times.iter().map(part).collect();
    let undisturbed = parts.first().is_some_and(|part| part.reached.iter().all(|reached| *reached > 0.9));
    ensure!(undisturbed, "not even with all workers there was it reached: {parts:?}");
    Ok(parts)
}

/// Whether no stretch of time holds more starts than the burst and the rate allow: as the generic cell rate algorithm
/// (ITU-T I.371) sees it, which is the same.
fn keeps_rate(effects: &[Effect]) -> bool {
    let Some(first) = effects.first().map(|effect| effect.at) else { return true };
    let mut expected = 0.0_f64;
    effects.iter().filter(|effect| effect.what == What::Started).all(|effect| {
        let at = effect.at.since(first).unwrap_or_default().as_secs_f64();
        expected = expected.max(at) + 1.0 / RATE;
        expected - at <= f64::from(BURST) / RATE + 1e-6
    })
}

/// The first and the last effect of each attempt.
fn attempts(effects: &[Effect]) -> Vec<(Moment, Moment)> {
    let mut attempts: HashMap<(Uuid, i64), (Moment, Moment)> = HashMap::new();
    for effect in effects {
        attempts.entry((effect.task, effect.epoch)).or_insert((effect.at, effect.at)).1 = effect.at;
    }
    attempts.into_values().collect()
}

fn most_at_once(attempts: &[(Moment, Moment)]) -> usize {
    let changes = attempts.iter().flat_map(|(began, ended)| [(*began, true), (*ended, false)]);
    let mut changes: Vec<(Moment, bool)> = changes.collect();
    changes.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in changes {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(milliseconds: u64, task: u128, what: What) -> Effect {
        let at = serde_json::from_value(json!(milliseconds * 1_000_000)).unwrap();
        Effect { at, worker: Uuid::nil(), task: Uuid::from_u128(task), epoch: 1, what }
    }

    #[test]
    fn a_rate_is_kept_up_to_its_burst_and_not_beyond() {
        let burst = u128::from(BURST);
        let at_once = |number| (0..number).map(|task| effect(0, task, What::Started)).collect::<Vec<_>>();
        assert!(keeps_rate(&at_once(burst)));
        assert!(!keeps_rate(&at_once(burst + 1)));
        // After the burst one each 10 ms.
        let after = |milliseconds| [at_once(burst), vec![effect(milliseconds, 0, What::Started)]].concat();
        assert!(!keeps_rate(&after(9)));
        assert!(keeps_rate(&after(10)));
    }

    #[test]
    fn attempts_that_overlap_run_at_once() {
        let effects = [
            effect(0, 1, What::Started),
            effect(5, 2, What::Started),
            effect(10, 1, What::Done),
            effect(12, 3, What::Started),
            effect(20, 2, What::Tick),
            effect(22, 3, What::Done),
        ];
        let attempts = attempts(&effects);
        assert_eq!(attempts.len(), 3);
        assert_eq!(most_at_once(&attempts), 2);
    }
}
