//! T13: workers are stopped in order and replaced, one after the other, while tasks run that outlast their grace.

use std::time::Duration;

use devstack::Service;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings};
use super::effects::{gaps, in_vain, p99};
use super::form::Form;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// How long a worker may take to stop: far more than its grace.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const GRACE: &str = "500ms";

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (lanes, restarts, rate) = form.pick((2, 3, 4.0), (4, 50, 8.0));
    // Long enough for most tasks to come to their end, or nothing ever would.
    let between = form.seconds(2, 5);
    let arena = Arena::on(servers, "T13", form, screen).await;
    arena.define([("long".to_owned(), json!({ "duration": "2s" }))]).await;
    let producer = arena.producer(&[]);

    let over = CancellationToken::new();
    let publishing = arena.load.steady(rate, usize::MAX, &over, |_| restore("long"));
    let restarting = async {
        // However this ends, so does the load.
        let _over = over.clone().drop_guard();
        let each = (0..lanes).map(async |lane| {
            let (mut worker, mut kept) = (start(&arena, lane, 0), 0);
            for round in 0..restarts {
                tokio::time::sleep(between).await;
                kept += restart(&arena, &mut worker, lane, round).await?;
            }
            anyhow::Ok((worker, kept))
        });
        try_join_all(each).await
    };
    let ((), ended) = tokio::join!(publishing, restarting);
    let (workers, kept): (Vec<Service>, Vec<i64>) = ended?.into_iter().unzip();
    arena.drain().await;

    let kept: i64 = kept.iter().sum();
    let counted = "select count(*) from execution where attempt > 1 or outcome <> 'success'";
    let counted = arena.number(counted).await.unwrap_or(-1);
    let effects = arena.effects.read()?;
    let (idle, in_vain) = (gaps(&effects), in_vain(&effects));
    let slowest = p99(&idle);
    let findings = Findings {
        load: format!(
            "{rate} tasks of 2 s a second, grace {GRACE}, {lanes} workers, {in_vain} attempts done in vain"
        ),
        recovery: slowest,
        bars: vec![
            bar(kept == 0, format!("{kept} leases outlived the end of their worker")),
            bar(counted == 0, format!("{counted} attempts were counted or lost")),
            bar(
                slowest.is_some_and(|slowest| slowest <= form.lease()),
                format!(
                    "{} interrupted, p99 {:.1} s until the next attempt, without waiting for a lease of {} s",
                    idle.len(),
                    slowest.unwrap_or_default().as_secs_f64(),
                    form.lease().as_secs()
                ),
            ),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, workers));
    report
}

fn start(arena: &Arena, lane: usize, round: usize) -> Service {
    arena.worker(&name(lane, round), &[("HOLDFAST_GRACE", GRACE)])
}

fn name(lane: usize, round: usize) -> String {
    format!("w{lane}-{round}")
}

/// Stops a worker that has work and starts the next one; says how many leases it left behind.
async fn restart(arena: &Arena, worker: &mut Service, lane: usize, round: usize) -> anyhow::Result<i64> {
    let name = name(lane, round);
    arena.until_busy(&name).await;
    let id = arena.world.text(&format!("select id::text from worker where name = '{name}'")).await;
    // The next one is there before this one goes, as deployments do it.
    let next = start(arena, lane, round + 1);
    let exit = worker.stop(STOPPED_WITHIN).await?;
    anyhow::ensure!(exit.success(), "{name} ended with {exit}");
    arena.injected();
    arena.tell("restarting workers");
    *worker = next;
    let id = id.unwrap_or_default();
    let left = format!("select count(*) from lease where worker_id = '{id}'");
    Ok(arena.number(&left).await.unwrap_or(-1))
}
