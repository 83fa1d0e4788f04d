//! T6: the database restarts without a goodbye, its connections are cut for minutes, and it is away for less than a
//! lease.

use std::time::{Duration, Instant};

use devstack::{Options, Postgres};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings, OwnServers};
use super::form::{Form, setting};
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// How soon a task that is published after an outage has to be done.
const RECOVERED_WITHIN: Duration = Duration::from_mins(1);
/// Between two cuts of all connections.
const CUTS: Duration = Duration::from_millis(500);

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (restarts, rate, long, takes) = form.pick((2, 20.0, 4, "4s"), (20, 100.0, 40, "40s"));
    // A restart takes a second or two on a busy machine: that has to be an outage shorter than a lease.
    let lease = form.pick(form.lease() * 4, form.lease());
    let mut own = OwnServers::start(Options::default(), screen).await?;
    let arena = Arena::on(&own.servers(), "T6", form, screen).await;
    let jobs = [("short", json!({})), ("long", json!({ "duration": takes }))];
    arena.define(jobs.map(|(name, source)| (name.to_owned(), source))).await;
    let producer = arena.producer(&[]);
    let lease_text = setting(lease);
    let workers: Vec<_> =
        (0..2).map(|n| arena.worker(&format!("w{n}"), &[("HOLDFAST_LEASE", lease_text.as_str())])).collect();

    let over = CancellationToken::new();
    let publishing = async {
        let short = arena.load.steady(rate, usize::MAX, &over, |_| restore("short"));
        // So that some run at any moment of the outages.
        let long = arena.load.steady(form.pick(0.5, 0.2), long, &over, |_| restore("long"));
        tokio::join!(short, long);
    };
    let breaking = async {
        // However this ends, so does the load.
        let _over = over.clone().drop_guard();
        arena.mark("short", RECOVERED_WITHIN).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..restarts {
            arena.tell("restarting the database");
            arena.injected();
            own.stack.postgres.restart().await?;
            slowest = slowest.max(arena.mark("short", RECOVERED_WITHIN).await);
        }
        slowest = slowest.max(cut_connections(&arena).await?);
        slowest = slowest.max(away(&arena, &mut own.stack.postgres, lease).await?);
        anyhow::Ok(slowest)
    };
    let ((), slowest) = tokio::join!(publishing, breaking);
    let slowest = slowest?;
    arena.drain().await;

    let again = "select count(*) from execution e join job j on j.id = e.job_id
         where j.name = 'long' and (e.attempt > 1 or e.epoch > 1 or e.outcome <> 'success')";
    let again = arena.number(again).await.unwrap_or(-1);
    let findings = Findings {
        load: format!("{rate} tasks/s and {long} tasks of {takes}"),
        recovery: Some(slowest),
        bars: vec![
            bar(
                slowest <= RECOVERED_WITHIN,
                format!("tasks are done {:.1} s after an outage <= 60 s", slowest.as_secs_f64()),
            ),
            bar(again == 0, format!("{again} long tasks needed another attempt")),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, workers));
    own.discard().await?;
    report
}

/// Cuts all connections but its own, again and again.
async fn cut_connections(arena: &Arena) -> anyhow::Result<Duration> {
    let (cutting, began) = (arena.form.seconds(5, 90), Instant::now());
    let mut cuts = tokio::time::interval(CUTS);
    while began.elapsed() < cutting {
        cuts.tick().await;
        if arena.cut_database().await.is_some() {
            arena.injected();
        }
        arena.tell("cutting connections to the database");
    }
    Ok(arena.mark("short", RECOVERED_WITHIN).await)
}

/// Takes the database away for less than a lease, though for longer than a heartbeat.
async fn away(arena: &Arena, postgres: &mut Postgres, lease: Duration) -> anyhow::Result<Duration> {
    let mut slowest = Duration::ZERO;
    for _ in 0..arena.form.pick(1, 4) {
        arena.tell("the database is away");
        arena.injected();
        postgres.kill().await?;
        // The fault itself takes its time: a heartbeat more must fit into the lease, and the start.
        tokio::time::sleep(lease / 4).await;
        postgres.start().await?;
        slowest = slowest.max(arena.mark("short", RECOVERED_WITHIN).await);
    }
    Ok(slowest)
}
