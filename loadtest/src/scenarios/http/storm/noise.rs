//! What a reporter has to do, or to refuse, in a storm.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::super::client::{Ask, Client};
use super::super::drive::Turns;
use super::super::tally::Tally;
use crate::measure::Moment;

/// Connections on which somebody is in haste.
const HASTY: usize = 4;
/// Clients that ask for huge pages.
pub(super) const HUGE: usize = 4;
/// Clients that send garbage.
pub(super) const GARBAGE: usize = 4;
/// Between two requests of one that sends garbage.
const REST: Duration = Duration::from_millis(10);
/// How answers are packed, in turn.
const PACKINGS: [Option<&str>; 4] = [None, Some("gzip"), Some("br"), Some("zstd")];
/// Longer than a URL may be, in bytes.
const LONG: usize = 9_000;
/// Wrong answers that are told; more are not of interest.
const TOLD: usize = 20;

/// Who makes it.
pub(super) struct Noise {
    /// At which address.
    pub(super) address: Arc<str>,
    /// A token with a pace.
    pub(super) hasty: Arc<str>,
    /// A token without one, which may read everything.
    pub(super) machine: Arc<str>,
    /// The pace, in requests a minute.
    pub(super) pace: u32,
    /// For how long.
    pub(super) length: Duration,
}

impl Noise {
    /// Uses up at once what the token with a pace may have at once.
    pub(super) async fn spend(&self) -> anyhow::Result<()> {
        let mut client = Client::new(&self.address);
        for _ in 0..self.pace {
            client.get(&Ask::of(&self.hasty, "/api/v1/pools")).await?;
        }
        Ok(())
    }

    /// Comes at ten times the pace.
    pub(super) async fn in_haste(&self) -> anyhow::Result<Tally> {
        let requests = u64::from(self.pace) * 10 * self.length.as_secs() / 60;
        let (turns, timer) = Turns::due(usize::try_from(requests)?, self.length);
        let (turns, mut running) = (Arc::new(turns), JoinSet::new());
        for _ in 0..HASTY {
            let (mut client, turns) = (Client::new(&self.address), Arc::clone(&turns));
            let ask = Ask::of(&self.hasty, "/api/v1/jobs");
            running.spawn(async move {
                let mut tally = Tally::new()?;
                while let Some(due) = turns.next().await {
                    tally.count(due, &client.get(&ask).await)?;
                }
                anyhow::Ok(tally)
            });
        }
        let tally = sum(running).await;
        timer.await.context("the thread that keeps the time ended")?;
        tally
    }

    /// Asks for pages that are as large as can be, one after the other. Their sizes differ, so that few are kept.
    pub(super) async fn huge(&self) -> anyhow::Result<Tally> {
        let end = Instant::now() + self.length;
        let paths = Arc::new(self.large().await?);
        let mut running = JoinSet::new();
        for number in 0..HUGE {
            let (mut client, token) = (Client::new(&self.address), Arc::clone(&self.machine));
            let paths = Arc::clone(&paths);
            let mut random = SmallRng::seed_from_u64(number as u64);
            running.spawn(async move {
                let (mut tally, mut turn) = (Tally::new()?, number);
                while Instant::now() < end {
                    let (path, limit) = (&paths[turn % paths.len()], random.random_range(400..=500));
                    let ask = Ask {
                        packing: PACKINGS[turn / paths.len() % PACKINGS.len()],
                        ..Ask::of(&token, format!("{path}limit={limit}"))
                    };
                    let asked = Moment::now();
                    tally.count(asked, &client.get(&ask).await)?;
                    turn += 1;
                }
                anyhow::Ok(tally)
            });
        }
        sum(running).await
    }

    /// The lists whose rows are large, with all fields that there are: those of one thing.
    async fn large(&self) -> anyhow::Result<Vec<String>> {
        let mut client = Client::new(&self.address);
        let mut paths = vec!["/api/v1/evidence?".to_owned()];
        for (list, key) in [("jobs", "name"), ("executions", "id"), ("audit", "id"), ("alerts", "id")] {
            let page = client.json(&self.machine, &format!("/api/v1/{list}?limit=1")).await?;
            let key = match &page["items"][0][key] {
                Value::String(key) => key.clone(),
                other => other.to_string(),
            };
            let one = client.json(&self.machine, &format!("/api/v1/{list}/{key}")).await?;
            let fields: Vec<&str> =
                one.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            paths.push(format!("/api/v1/{list}?fields={}&", fields.join(",")));
        }
        Ok(paths)
    }

    /// Sends what is no good request; returns also what was not answered as it should have been.
    pub(super) async fn garbage(&self) -> anyhow::Result<(Tally, Vec<String>)> {
        let end = Instant::now() + self.length;
        let mut running = JoinSet::new();
        for number in 0..GARBAGE {
            let (mut client, token) = (Client::new(&self.address), Arc::clone(&self.machine));
            let mut random = SmallRng::seed_from_u64(number as u64);
            running.spawn(async move {
                let (mut tally, mut wrong) = (Tally::new()?, Vec::new());
                while Instant::now() < end {
                    for (ask, statuses) in garbage(&token, &mut random) {
                        let (asked, answer) = (Moment::now(), client.get(&ask).await);
                        tally.count(asked, &answer)?;
                        let said = answer.map_or_else(
                            |error| format!("{error:#}"),
                            |answer| {
                                if statuses.contains(&answer.status) {
                                    String::new()
                                } else {
                                    answer.status.to_string()
                                }
                            },
                        );
                        if !said.is_empty() && wrong.len() < TOLD {
                            let path: String = ask.path.chars().take(60).collect();
                            wrong.push(format!("{path}: {said}"));
                        }
                        sleep(REST).await;
                    }
                }
                anyhow::Ok((tally, wrong))
            });
        }
        let (mut all, mut unexpected) = (Tally::new()?, Vec::new());
        while let Some(one) = running.join_next().await {
            let (tally, wrong) = one??;
            all.add(&tally)?;
            unexpected.extend(wrong);
        }
        Ok((all, unexpected))
    }
}

/// Bad requests, each with the statuses that answer it well.
fn garbage(token: &Arc<str>, random: &mut SmallRng) -> Vec<(Ask, &'static [u16])> {
    let nobody: Arc<str> = format!("hf_{:032x}_{}", random.random::<u128>(), "0".repeat(64)).into();
    let again: Arc<str> = format!("hf_{:032x}_{}", 1, "0".repeat(64)).into();
    let of = |path: &str| Ask::of(token, format!("/api/v1/{path}"));
    let all: [(Ask, &'static [u16]); 13] = [
        (of("jobs?after=garbage"), &[400]),
        (of("executions?after=WyJqb2JzIiwiYSJd"), &[400]),
        (of("jobs?fields=name,nonsense"), &[400]),
        (of("jobs?nonsense=1"), &[400]),
        (of("executions?outcome=splendid"), &[400]),
        (of("executions?limit=501"), &[400]),
        (of("executions?from=yesterday"), &[400]),
        (of("executions/garbage"), &[404]),
        (of(&format!("jobs?owner={}", "z".repeat(LONG))), &[414]),
        (Ask::plain("/api/v1/jobs"), &[401]),
        (Ask::of(&"nonsense".into(), "/api/v1/jobs"), &[401]),
        (Ask::of(&nobody, "/api/v1/jobs"), &[401]),
        // One that is wrong again and again is not heard any more.
        (Ask::of(&again, "/api/v1/jobs"), &[401, 429]),
    ];
    all.into()
}

async fn sum(mut running: JoinSet<anyhow::Result<Tally>>) -> anyhow::Result<Tally> {
    let mut all = Tally::new()?;
    while let Some(tally) = running.join_next().await {
        all.add(&tally??)?;
    }
    Ok(all)
}
