//! T11: a task kills every process that runs it.

use std::time::{Duration, Instant};

use devstack::Service;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings};
use super::form::Form;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// Between two looks whether a worker has to be started again.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (poisons, neighbours, rate) = form.pick((1, 30, 3.0), (4, 300, 5.0));
    let arena = Arena::on(servers, "T11", form, screen).await;
    let jobs =
        [("poison", json!({ "duration": "1s", "aborts": true })), ("good", json!({ "duration": "500ms" }))];
    arena.define(jobs.map(|(name, source)| (name.to_owned(), source))).await;
    let producer = arena.producer(&[]);
    let began = Instant::now();

    let over = CancellationToken::new();
    let publishing = async {
        let never = CancellationToken::new();
        arena.load.steady(rate, neighbours, &never, |_| restore("good")).await;
    };
    let poisoning = async {
        for number in 1..=poisons {
            arena.load.publish(&restore("poison")).await;
            arena.injected();
            arena.tell("a task kills its workers");
            let dead = "select count(*) from dead_task";
            arena
                .until_number("it is dead", arena.form.lease() * 4 + Duration::from_mins(1), dead, number)
                .await;
        }
        began.elapsed()
    };
    let working = async {
        let ((), recovery) = tokio::join!(publishing, poisoning);
        arena.drain().await;
        over.cancel();
        recovery
    };
    let (recovery, restarts) = tokio::join!(working, supervise(&arena, &over));
    let restarts = restarts?;

    let poisoned = "select count(*) from dead_task d join job j on j.id = d.job_id
         where j.name = 'poison' and d.reason = 'lost' and d.rescues = 3";
    let poisoned = arena.number(poisoned).await.unwrap_or(-1);
    let good = "select count(*) from execution e join job j on j.id = e.job_id
         where j.name = 'good' and e.outcome = 'success'";
    let good = arena.number(good).await.unwrap_or(-1);
    let findings = Findings {
        load: format!("{poisons} poisonous and {neighbours} other tasks, {restarts} workers died"),
        recovery: Some(recovery / u32::try_from(poisons).unwrap_or(1)),
        bars: vec![
            bar(poisoned == poisons, format!("{poisoned} of {poisons} dead as lost after 3 rescues")),
            bar(good == i64::try_from(neighbours)?, format!("{good} of {neighbours} neighbours are done")),
            bar(restarts > 0, "workers died of it"),
        ],
    };
    let report = arena.close(findings).await;
    drop(producer);
    report
}

/// Keeps two workers running, as a supervisor of services does; says how often it had to start one again.
async fn supervise(arena: &Arena, over: &CancellationToken) -> anyhow::Result<usize> {
    let mut started = 0;
    let mut start = || {
        started += 1;
        // More than one slot: the poison has neighbours.
        arena.worker(&format!("w{started}"), &[("HOLDFAST_POOLS_RESTORE_SLOTS", "4")])
    };
    let mut workers: Vec<Service> = (0..2).map(|_| start()).collect();
    while tokio::time::timeout(LOOK, over.cancelled()).await.is_err() {
        for worker in &mut workers {
            if worker.exit()?.is_some() {
                *worker = start();
            }
        }
    }
    Ok(started - workers.len())
}
