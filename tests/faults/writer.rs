//! A real engine inside a backup, caught in the act: no writer may survive its lease.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use devstack::Service;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use shared::task::TaskId;
use walk::files;

use super::arena::{Arena, until};
use super::form::Form;
use super::load::backup;
use super::report::{Bar, bar};
use super::screen::Screen;
use crate::{Servers, count_files, hold_inside_backup, noise};

mod walk;

/// Large enough that the engine is still writing packs long after the first one is there.
const SOURCE_BYTES: usize = 128 * 1024 * 1024;
/// How long a step may take: all of it happens beside other loads.
const LIMIT: Duration = Duration::from_mins(2);

/// Names the files of writes that are not over.
const UNFINISHED: &str = "-tmp-";

/// What happens to the worker while its engine writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// It is killed; the engine, held for a moment, goes on alone.
    Killed,
    /// It is stopped for three leases together with its engine, and both go on.
    StoppedWithEngine,
    /// It alone is stopped for three leases; the engine, held until the lease was over, goes on before it does.
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
    let noise = tokio::task::spawn_blocking(|| noise(SOURCE_BYTES)).await?;
    arena.world.write("source/large", noise);
    let job = arena.world.files_job("docs", &["disk-a"]);
    let target = arena.world.target("disk-a", &json!({}));
    arena.world.apply(&json!({ "targets": [target], "jobs": [job] })).await;
    let repository = arena.world.path("repositories/disk-a");

    let mut worker = arena.worker("w1", &[]);
    let task = arena.load.publish(&backup("docs")).await;
    let engine = {
        let (repository, worker) = (repository.clone(), worker.pid());
        // On a thread of its own: whoever looks too late finds the backup done.
        tokio::task::spawn_blocking(move || hold_inside_backup(&repository, worker)).await?
    };
    // No producer runs, so nobody else gets the task: whatever changes from here on is the old engine's doing.
    let held = strike(&arena, blow, &mut worker, engine, &repository).await?;
    until("the engine has ended", form.lease() + LIMIT, async || has_ended(engine).then_some(())).await;
    if blow == Blow::Killed {
        // One that goes on gives the task back by itself.
        arena.until_number("the lease has expired", LIMIT, EXPIRED, 1).await;
    }
    let (ended, snapshots) = (look(&repository), count_files(&repository, "snapshots"));
    if blow != Blow::Killed {
        worker.resume()?;
        let now = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
        let now = arena.world.number(now).await;
        let awake =
            format!("select count(*) from worker where (extract(epoch from seen_at) * 1000)::bigint > {now}");
        arena.until_number("the worker is back", LIMIT, &awake, 1).await;
    }
    let mut written = differences(&ended, &look(&repository));
    written.extend(held.iter().flat_map(|held| differences(held, &ended)));

    let producer = arena.producer(&[]);
    let second = arena.worker("w2", &[]);
    let done = format!("select count(*) from execution where task_id = '{task}' and outcome = 'success'");
    arena.until_number("the backup is done", LIMIT, &done, 1).await;
    let bars = vec![
        bar(snapshots == 0, format!("{blow:?}: the engine that lost its lease wrote no snapshot")),
        bar(written.is_empty(), format!("{blow:?}: nothing was written after the lease, {written:?}")),
        bar(results(&arena, task).await == 1, format!("{blow:?}: the task has one result")),
        bar(count_files(&repository, "snapshots") == 1, format!("{blow:?}: it left one snapshot")),
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

/// Strikes and lets the engine go on. Where its lease was over by then, says what the repository looked like: the
/// engine may not touch it any more.
async fn strike(
    arena: &Arena,
    blow: Blow,
    worker: &mut Service,
    engine: Pid,
    repository: &Path,
) -> anyhow::Result<Option<Look>> {
    match blow {
        // Nobody is left to extend its lease, which still lasts: it may write, and has to notice.
        Blow::Killed => {
            worker.kill().await?;
            kill_process(engine, Signal::CONT)?;
            return Ok(None);
        }
        Blow::StoppedWithEngine => worker.pause()?,
        Blow::StoppedAlone => worker.signal(Signal::STOP.as_raw())?,
    }
    let stopped = Instant::now();
    arena.until_number("the lease has expired", LIMIT, EXPIRED, 1).await;
    // The fault itself takes its time.
    tokio::time::sleep((arena.form.lease() * 3).saturating_sub(stopped.elapsed())).await;
    let held = look(repository);
    if blow == Blow::StoppedWithEngine {
        worker.resume()?;
    }
    kill_process(engine, Signal::CONT)?;
    Ok(Some(held))
}

/// Whether a process is gone, or waits only for its parent to notice, which may be stopped.
fn has_ended(process: Pid) -> bool {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    // Behind the name in brackets, which may hold anything, comes the state.
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// The size and time of every file.
type Look = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

fn look(repository: &Path) -> Look {
    files(repository)
        .into_iter()
        // A write that had begun when its process was stopped ends in the kernel, or right after the stop: into a file
        // that is no part of the repository before it has its name, which comes after another look at the clock.
        .filter(|path| !path.to_string_lossy().contains(UNFINISHED))
        .filter_map(|path| {
            let facts = std::fs::metadata(&path).ok()?;
            Some((path, (facts.len(), facts.modified().ok())))
        })
        .collect()
}

/// What came, changed or went.
fn differences(before: &Look, after: &Look) -> Vec<String> {
    let came = after.iter().filter(|(path, facts)| before.get(*path) != Some(facts));
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let came = came.map(|(path, (bytes, _))| format!("{} now has {bytes} bytes", path.display()));
    came.chain(gone.map(|path| format!("{} is gone", path.display()))).collect()
}
