//! T2: the broker is stopped and killed in turn, under a load of confirmed publishes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use devstack::{Options, RabbitMq};
use reqwest::Method;
use serde_json::json;
use shared::task::{Priority, TaskKind};
use shared::topology;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings, OwnServers, until};
use super::form::Form;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// Jobs that the tasks belong to.
const JOBS: usize = 50;
/// Workers, each with so many slots for the tasks of the load.
const WORKERS: u64 = 2;
const SLOTS: u64 = 500;
/// How soon publishers have to publish again once the broker is up.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (rate, outages, rhythm) = form.pick((300.0, 2_u32, 5), (2_000.0, 4, 45));
    let rhythm = Duration::from_secs(rhythm);
    let mut own = OwnServers::start(Options::default(), screen).await?;
    let arena = Arena::on(&own.servers(), "T2", form, screen).await;
    arena.define((0..JOBS).map(|number| (format!("short-{number}"), json!({})))).await;
    let producer = arena.producer(&[]);
    let slots = SLOTS.to_string();
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| arena.worker(&format!("w{n}"), &[("HOLDFAST_POOLS_RESTORE_SLOTS", &slots)]))
        .collect();

    let over = CancellationToken::new();
    let publishing =
        arena.load.steady(rate, usize::MAX, &over, |number| restore(format!("short-{}", number % JOBS)));
    let breaking = async {
        // However this ends, so does the load.
        let _over = over.clone().drop_guard();
        // It grows with what the workers see of the load.
        let loaded = topology::queue(TaskKind::Restore, Priority::Normal);
        let prefetch =
            until("the workers have all delivered ahead that they may", Duration::from_mins(1), async || {
                let prefetches = prefetches(&arena).await;
                (prefetches.get(&loaded) == Some(&(WORKERS * SLOTS * 2))).then_some(prefetches)
            });
        let prefetch = prefetch.await;
        let mut slowest = Duration::ZERO;
        for outage in 0..outages {
            arena.tell("publishing");
            // The time between two outages is part of the load.
            tokio::time::sleep(rhythm).await;
            let again = break_broker(&arena, &mut own.stack.rabbitmq, outage % 2 == 1).await?;
            slowest = slowest.max(again);
        }
        tokio::time::sleep(rhythm / 2).await;
        let mut after = BTreeMap::new();
        let same = until("the workers consume as before", Duration::from_mins(1), async || {
            after = prefetches(&arena).await;
            (after == prefetch).then_some(())
        });
        let same = tokio::time::timeout(Duration::from_secs(50), same).await.is_ok();
        let unchanged = bar(same, format!("prefetch unchanged: {prefetch:?}, then {after:?}"));
        anyhow::Ok((slowest, unchanged))
    };
    let ((), broken) = tokio::join!(publishing, breaking);
    let (slowest, unchanged) = broken?;
    arena.drain().await;

    let unconfirmed = arena.load.unconfirmed();
    let findings = Findings {
        load: format!("{rate} publishes/s, {unconfirmed} unconfirmed and made again"),
        recovery: Some(slowest),
        bars: vec![
            bar(
                slowest <= AGAIN_WITHIN,
                format!("publishing again after {:.1} s <= 10 s", slowest.as_secs_f64()),
            ),
            unchanged,
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, workers));
    own.discard().await?;
    report
}

/// Breaks the broker and starts it again; says how long after that a publish was confirmed.
async fn break_broker(arena: &Arena, broker: &mut RabbitMq, kill: bool) -> anyhow::Result<Duration> {
    arena.injected();
    if kill {
        arena.tell("the broker is killed");
        broker.kill().await?;
    } else {
        arena.tell("the broker is stopped");
        broker.stop().await?;
    }
    let confirmed = arena.load.count();
    broker.start().await?;
    let up = Instant::now();
    arena.tell("the broker is up again");
    until("a publish is confirmed", Duration::from_mins(2), async || {
        (arena.load.count() > confirmed).then_some(())
    })
    .await;
    Ok(up.elapsed())
}

/// How many messages the consumers of each queue take ahead, together. The management interface tells late.
async fn prefetches(arena: &Arena) -> BTreeMap<String, u64> {
    let path = format!("consumers/{}", arena.world.broker.name());
    let consumers = arena.world.broker.manage(Method::GET, &path, None).await;
    let mut prefetches = BTreeMap::new();
    for consumer in consumers.as_array().into_iter().flatten() {
        let queue = consumer["queue"]["name"].as_str().unwrap_or_default().to_owned();
        *prefetches.entry(queue).or_default() += consumer["prefetch_count"].as_u64().unwrap_or_default();
    }
    prefetches
}
