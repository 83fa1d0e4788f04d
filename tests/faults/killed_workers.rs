//! T1: workers are killed at random, again and again.

use std::time::Duration;

use devstack::Service;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings};
use super::effects::{gaps, p99};
use super::form::Form;
use super::load::backup;
use super::report::{Report, bar};
use super::screen::Screen;
use super::writer::{self, Blow};
use crate::Servers;

/// Jobs that the short tasks belong to, so that records of one job do not wait for each other all the time.
const JOBS: usize = 50;
/// Seconds between two kills: five, two more or less.
const RHYTHM: std::ops::RangeInclusive<f64> = 3.0..=7.0;

const RHYTHM_AT_MOST: Duration = Duration::from_secs(7);

struct Size {
    workers: usize,
    /// Short tasks, and how many of them a second: less than the workers can do, because what is rescued queues
    /// behind what was published before.
    short: (usize, f64),
    long: (usize, f64),
    long_takes: &'static str,
}

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (report, bars) =
        tokio::join!(storm(servers, form, screen), writer::survives(servers, form, "T1", Blow::Killed));
    let (mut report, bars) = (report?, bars?);
    report.passed &= bars.iter().all(|bar| bar.met);
    report.bar.extend(bars);
    Ok(report)
}

async fn storm(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let size = form.pick(
        Size { workers: 3, short: (1_500, 150.0), long: (10, 2.0), long_takes: "2s" },
        Size { workers: 4, short: (100_000, 450.0), long: (200, 0.9), long_takes: "5s" },
    );
    let arena = Arena::on(servers, "T1", form, screen).await;
    let short = (0..JOBS).map(|number| (format!("short-{number}"), json!({ "duration": "0s" })));
    // Short tasks of one owner, all under its cap, would be claimed and recorded one transaction after the other.
    arena.define_beside(short, [("long".to_owned(), json!({ "duration": size.long_takes }))]).await;
    let producer = arena.producer(&[]);
    let mut workers: Vec<(String, Service)> = (0..size.workers).map(|n| started(&arena, n, 0)).collect();

    let published = CancellationToken::new();
    let never = CancellationToken::new();
    let publishing = async {
        let short =
            arena.load.steady(size.short.1, size.short.0, &never, |n| backup(format!("short-{}", n % JOBS)));
        let long = arena.load.steady(size.long.1, size.long.0, &never, |_| backup("long"));
        tokio::join!(short, long);
        published.cancel();
    };
    let killing = async {
        for round in 1.. {
            let rhythm = Duration::from_secs_f64(rand::random_range(RHYTHM));
            if tokio::time::timeout(rhythm, published.cancelled()).await.is_ok() {
                break;
            }
            let victim = rand::random_range(0..workers.len());
            let (name, service) = &mut workers[victim];
            // A kill while nothing runs would hit nothing; but one that gets no work does not stay either.
            _ = tokio::time::timeout(RHYTHM_AT_MOST, arena.until_busy(name)).await;
            service.kill().await?;
            arena.injected();
            workers[victim] = started(&arena, victim, round);
            arena.tell("killing workers");
        }
        anyhow::Ok(())
    };
    let ((), killed) = tokio::join!(publishing, killing);
    killed?;
    arena.drain().await;

    let rescues = gaps(&arena.effects.read()?);
    let slowest = p99(&rescues);
    let limit = Duration::from_secs(25);
    let findings = Findings {
        load: format!("{} short and {} long tasks", size.short.0, size.long.0),
        recovery: slowest,
        bars: vec![
            bar(
                slowest.is_some_and(|slowest| slowest <= limit),
                format!(
                    "{} rescues, p99 {:.1} s <= 25 s",
                    rescues.len(),
                    slowest.unwrap_or_default().as_secs_f64()
                ),
            ),
            bar(arena.injections() > 0, "workers were killed"),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, workers));
    report
}

fn started(arena: &Arena, number: usize, round: usize) -> (String, Service) {
    let name = format!("w{number}-{round}");
    let service = arena.worker(&name, &[("HOLDFAST_POOLS_BACKUP_SLOTS", "40")]);
    (name, service)
}
