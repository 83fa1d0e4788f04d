//! limits: workers join, leave, die and hang, connections to the database are cut, and no cap and no strict rate is ever exceeded (I6).

use std::collections::HashSet;
use std::time::Duration;

use devstack::Service;
use serde_json::json;
use shared::task::TaskId;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings};
use super::effects::{Effect, What, most_at_once};
use super::form::Form;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// Tasks of the owner `capped` that may run at once.
const CAP: usize = 6;
/// How long one takes.
const TAKES: Duration = Duration::from_millis(250);
/// Tasks of the owner `paced` that may start in a second, strictly, and at once.
const RATE: f64 = 40.0;
const BURST: usize = 50;
/// How long something may take beside the fault itself.
const LIMIT: Duration = Duration::from_mins(1);

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (seconds, rhythm) = form.pick((20_u32, 1), (300, 8));
    let arena = Arena::on(servers, "limits", form, screen).await;
    define(&arena).await;
    let producer = arena.producer(&[]);
    let mut workers: Vec<(String, Service)> = (0..3).map(|n| started(&arena, n, 0)).collect();

    let never = CancellationToken::new();
    let published = CancellationToken::new();
    let publishing = async {
        // A little more than may run.
        let of = |job: &'static str, rate: u32| {
            let tasks = (seconds * rate) as usize;
            arena.load.steady(f64::from(rate), tasks, &never, move |_| restore(job))
        };
        tokio::join!(of("capped", 29), of("paced", 48), of("free", 50));
        published.cancel();
    };
    let harming = async {
        for round in 1.. {
            let rest = Duration::from_secs(rand::random_range(1..=rhythm));
            if tokio::time::timeout(rest, published.cancelled()).await.is_ok() {
                break;
            }
            let victim = rand::random_range(0..workers.len());
            let (name, service) = &mut workers[victim];
            _ = tokio::time::timeout(Duration::from_secs(3), arena.until_busy(name)).await;
            match round % 4 {
                0 => {
                    arena.tell("a worker hangs");
                    service.pause()?;
                    tokio::time::sleep(form.lease() * 2).await;
                    service.resume()?;
                }
                1 => {
                    arena.tell("connections to the database are cut");
                    arena.cut_database().await;
                }
                2 => {
                    arena.tell("a worker dies");
                    service.kill().await?;
                    workers[victim] = started(&arena, victim, round);
                }
                _ => {
                    arena.tell("a worker leaves");
                    _ = service.stop(LIMIT).await?;
                    workers[victim] = started(&arena, victim, round);
                }
            }
            arena.injected();
        }
        anyhow::Ok(())
    };
    let ((), harmed) = tokio::join!(publishing, harming);
    harmed?;
    arena.drain().await;

    let effects = arena.effects.read()?;
    let capped = tasks_of(&arena, "capped").await?;
    let most = most_at_once(&effects, |task| capped.contains(task));
    let starts = starts(&effects, &tasks_of(&arena, "paced").await?);
    let over = exceeded(&starts);
    let counted = "select coalesce(sum(running), 0) + (select count(*) from line) from cap";
    let findings = Findings {
        load: format!(
            "29/s of {CAP} at once that take {} ms, 48/s of {RATE} strict starts a second, and 50/s of others",
            TAKES.as_millis()
        ),
        recovery: None,
        bars: vec![
            bar(most <= CAP, format!("I6: {most} <= {CAP} of the capped tasks at once")),
            bar(most == CAP, "the cap was reached"),
            bar(
                over.is_none(),
                over.unwrap_or_else(|| {
                    format!("I6: no stretch of {} strict starts exceeds the rate", starts.len())
                }),
            ),
            bar(arena.number(counted).await == Some(0), "nothing is counted and no line is left in the end"),
            bar(arena.injections() >= 4, "workers died, left and hung, and connections were cut"),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, workers));
    report
}

async fn define(arena: &Arena) {
    let job = |owner: &str, takes: Duration| {
        let source = json!({ "duration": format!("{}ms", takes.as_millis()) });
        let mut job = arena.world.simulated_job(owner, &["nowhere"], &source);
        job["owner"] = json!(owner);
        job
    };
    let definitions = json!({
        "targets": [arena.world.target("nowhere", &json!({}))],
        "jobs": [job("capped", TAKES), job("paced", Duration::ZERO), job("free", Duration::ZERO)],
        "limits": [
            { "owner": "capped", "concurrency": CAP },
            { "owner": "paced", "starts_per_minute": RATE * 60.0, "burst": BURST, "strict": true },
        ],
    });
    arena.world.apply(&definitions).await;
}

fn started(arena: &Arena, number: usize, round: usize) -> (String, Service) {
    let name = format!("w{number}-{round}");
    let service = arena.worker(&name, &[("HOLDFAST_POOLS_RESTORE_SLOTS", "10")]);
    (name, service)
}

async fn tasks_of(arena: &Arena, job: &str) -> anyhow::Result<HashSet<TaskId>> {
    let statement = format!(
        "select distinct task_id from execution where job_id = (select id from job where name = '{job}')"
    );
    arena.world.ids(&statement).await
}

/// When attempts of some tasks began.
fn starts(effects: &[Effect], tasks: &HashSet<TaskId>) -> Vec<u64> {
    let started =
        effects.iter().filter(|effect| effect.what == What::Started && tasks.contains(&effect.task));
    started.map(|effect| effect.at_ns).collect()
}

/// The first stretch of time in which more began than a burst and the rate allow.
fn exceeded(starts: &[u64]) -> Option<String> {
    for (first, began) in starts.iter().enumerate() {
        for (last, until) in starts.iter().enumerate().skip(first + BURST) {
            let (seconds, number) = ((until - began) as f64 / 1e9, last - first + 1);
            if number as f64 > seconds.mul_add(RATE, BURST as f64) + 1e-6 {
                return Some(format!("I6: {number} strict starts within {seconds:.3} s"));
            }
        }
    }
    None
}
