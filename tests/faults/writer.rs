//! A real engine inside a backup, caught in the act: no writer may survive its lease.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use devstack::Service;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;
use shared::task::TaskId;
use walk::files;

use super::arena::{Arena, until};
use super::form::Form;
use super::load::backup;
use super::report::{Bar, bar};
use super::screen::Screen;
use crate::{Servers, noise};

mod walk;

/// Large enough that the engine is still writing packs long after the first one is there.
const SOURCE_BYTES: usize = 128 * 1024 * 1024;
/// How long a step may take: all of it happens beside other loads.
const LIMIT: Duration = Duration::from_mins(2);
/// How often the repository is looked at; the engine writes a pack in a few milliseconds.
const OFTEN: Duration = Duration::from_millis(2);

/// What happens to the worker while its engine writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// It is killed; the engine, held for a moment, goes on alone.
    Killed,
    /// It is stopped for three leases together with its engine, and both go on.
    StoppedWithEngine,
    /// It alone is stopped for three leases.
    StoppedAlone,
}

/// Strikes a worker in the middle of a real backup, and says whether its engine ended with the lease, left the
/// repository alone, and whether the task had one result and one snapshot in the end.
pub(super) async fn survives(
    servers: &Servers,
    form: Form,
    fault: &'static str,
    blow: Blow,
) -> anyhow::Result<Vec<Bar>> {
    let arena = Arena::on(servers, fault, form, &Screen::default()).await;
    arena.world.write("source/large", noise(SOURCE_BYTES));
    let job = arena.world.files_job("docs", &["disk-a"]);
    let target = arena.world.target("disk-a", &json!({}));
    arena.world.apply(&json!({ "targets": [target], "jobs": [job] })).await;
    let repository = arena.world.path("repositories/disk-a");

    let mut worker = arena.worker("w1", &[]);
    let task = arena.load.publish(&backup("docs")).await;
    let engine = hold_inside_backup(&repository, worker.pid()).await;
    strike(blow, &mut worker, engine, form.lease()).await?;
    let during = look(&repository);

    // No producer runs, so nobody else has the task: whatever changes now is the old engine's doing.
    until("the engine has ended", form.lease() + LIMIT, async || {
        test_kill_process(engine).is_err().then_some(())
    })
    .await;
    arena.until_number("the lease has expired", LIMIT, EXPIRED, 1).await;
    let (before, snapshots) = (look(&repository), count(&repository, "snapshots"));
    if blow != Blow::Killed {
        worker.resume()?;
    }
    let last_word = arena.world.number("select (extract(epoch from clock_timestamp()) * 1000)::bigint").await;
    let beaten = format!(
        "select least(count(*), 1) from worker where (extract(epoch from seen_at) * 1000)::bigint > {last_word}"
    );
    if blow != Blow::Killed {
        arena.until_number("the worker is back", LIMIT, &beaten, 1).await;
    }
    let silent = look(&repository) == before;

    let producer = arena.producer(&[]);
    let second = arena.worker("w2", &[]);
    let done = format!("select count(*) from execution where task_id = '{task}' and outcome = 'success'");
    arena.until_number("the backup is done", LIMIT, &done, 1).await;
    let bars = vec![
        bar(snapshots == 0, format!("{blow:?}: the engine that lost its lease wrote no snapshot")),
        bar(silent, format!("{blow:?}: the repository stays as it is after the lease")),
        bar(during.len() <= before.len(), format!("{blow:?}: nothing vanishes from the repository")),
        bar(results(&arena, task).await == 1, format!("{blow:?}: the task has one result")),
        bar(count(&repository, "snapshots") == 1, format!("{blow:?}: it left one snapshot")),
    ];
    for mut service in [producer, second, worker] {
        if service.exit()?.is_none() {
            service.stop(LIMIT).await?;
        }
    }
    Ok(bars)
}

const EXPIRED: &str = "select count(*) from lease where lease_until < now()";

async fn results(arena: &Arena, task: TaskId) -> i64 {
    let points = format!("select count(*) from restore_point where task_id = '{task}'");
    arena.world.number(&points).await
}

/// Waits until the engine has written its first pack, and stops it there.
async fn hold_inside_backup(repository: &Path, worker: u32) -> Pid {
    let engine = until("the engine has begun to write", LIMIT, async || {
        // Often, or the backup is over before anybody looked.
        for _ in 0..50 {
            if count(repository, "data") > 0 {
                return children(worker).into_iter().next();
            }
            tokio::time::sleep(OFTEN).await;
        }
        None
    })
    .await;
    kill_process(engine, Signal::STOP).expect("stopping the engine");
    assert_eq!(count(repository, "snapshots"), 0, "the backup was over before it could be held");
    engine
}

async fn strike(blow: Blow, worker: &mut Service, engine: Pid, lease: Duration) -> anyhow::Result<()> {
    match blow {
        Blow::Killed => {
            worker.kill().await?;
            kill_process(engine, Signal::CONT)?;
        }
        Blow::StoppedWithEngine => {
            worker.pause()?;
            // The fault itself takes its time.
            tokio::time::sleep(lease * 3).await;
            worker.resume()?;
            kill_process(engine, Signal::CONT)?;
        }
        Blow::StoppedAlone => {
            worker.signal(Signal::STOP.as_raw())?;
            kill_process(engine, Signal::CONT)?;
            tokio::time::sleep(lease * 3).await;
        }
    }
    Ok(())
}

/// The size and time of every file.
fn look(repository: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    files(repository)
        .into_iter()
        .filter_map(|path| {
            let facts = std::fs::metadata(&path).ok()?;
            Some((path, (facts.len(), facts.modified().ok())))
        })
        .collect()
}

fn count(repository: &Path, folder: &str) -> usize {
    files(&repository.join(folder)).len()
}

fn children(parent: u32) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let listed = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> = listed
        .flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}
