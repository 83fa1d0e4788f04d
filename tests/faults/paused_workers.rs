//! T5: workers are stopped for three leases and go on as if nothing had happened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use devstack::Service;
use futures_util::future::try_join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings};
use super::form::Form;
use super::load::restore;
use super::report::{Bar, Report, bar};
use super::screen::Screen;
use super::writer::{self, Blow};
use crate::Servers;

/// What a worker says when its work does not count any more.
const FENCED: &str = "fenced:";
/// How long a step may take beside the fault itself.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (report, together, alone) = tokio::join!(
        pauses(servers, form, screen),
        writer::survives(servers, form, "T5", Blow::StoppedWithEngine),
        writer::survives(servers, form, "T5", Blow::StoppedAlone)
    );
    let (mut report, bars) = (report?, [together?, alone?].concat());
    report.passed &= bars.iter().all(|bar| bar.met);
    report.bar.extend(bars);
    Ok(report)
}

async fn pauses(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    // Many at a time, because each is stopped for long; the steady ones take over what those had.
    let (victims, rounds) = form.pick((3_usize, 1_usize), (20, 5));
    let arena = Arena::on(servers, "T5", form, screen).await;
    arena.define([("long".to_owned(), json!({ "duration": "1500ms" }))]).await;
    let producer = arena.producer(&[]);
    let steady: Vec<Service> = (0..2).map(|n| arena.worker(&format!("steady{n}"), &[])).collect();
    let few = [("HOLDFAST_POOLS_RESTORE_SLOTS", "2"), ("HOLDFAST_DATABASE_POOL_SIZE", "5")];
    let workers: Vec<(String, Service)> = (0..victims)
        .map(|n| format!("victim{n}"))
        .map(|name| (name.clone(), arena.worker(&name, &few)))
        .collect();

    let over = CancellationToken::new();
    // No more than the two steady ones can do alone.
    let rate = victims as f64;
    let publishing = arena.load.steady(rate, usize::MAX, &over, |_| restore("long"));
    let slowest = AtomicUsize::new(0);
    let pausing = async {
        // However this ends, so does the load.
        let _over = over.clone().drop_guard();
        let each = workers.iter().map(async |(name, service)| {
            for _ in 0..rounds {
                let back = pause(&arena, name, service).await?;
                slowest.fetch_max(usize::try_from(back.as_millis())?, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
        try_join_all(each).await
    };
    let ((), paused) = tokio::join!(publishing, pausing);
    paused?;
    arena.drain().await;
    let fenced = workers.iter().map(|(_, worker)| worker.log().matches(FENCED).count()).sum::<usize>();

    let findings = Findings {
        load: format!("{rate} tasks of 1.5 s a second, {victims} workers stopped at a time"),
        recovery: Some(Duration::from_millis(u64::try_from(slowest.into_inner())?)),
        bars: bars(&arena, fenced, victims * rounds),
    };
    let report = arena.close(findings).await;
    drop((producer, steady, workers));
    report
}

fn bars(arena: &Arena, fenced: usize, wanted: usize) -> Vec<Bar> {
    vec![
        bar(fenced > 0, format!("the fenced path was hit {fenced} times")),
        bar(arena.injections() == wanted, format!("{} of {wanted} rounds", arena.injections())),
    ]
}

/// Stops a worker that has work for three leases; says how long after that it reported again.
async fn pause(arena: &Arena, name: &str, worker: &Service) -> anyhow::Result<Duration> {
    arena.until_busy(name).await;
    worker.pause()?;
    let stopped = Instant::now();
    arena.injected();
    arena.tell("stopping workers");
    let held =
        format!("select count(*) from lease l join worker w on w.id = l.worker_id where w.name = '{name}'");
    arena.until_number("its leases were taken from it", LIMIT, &held, 0).await;
    // The fault itself takes its time.
    tokio::time::sleep((arena.form.lease() * 3).saturating_sub(stopped.elapsed())).await;
    let asleep =
        format!("select (extract(epoch from seen_at) * 1000)::bigint from worker where name = '{name}'");
    let asleep = arena.number(&asleep).await.unwrap_or_default();
    worker.resume()?;
    let resumed = Instant::now();
    let awake = format!(
        "select count(*) from worker where name = '{name}' and (extract(epoch from seen_at) * 1000)::bigint > {asleep}"
    );
    arena.until_number("it reports again", LIMIT, &awake, 1).await;
    Ok(resumed.elapsed())
}
