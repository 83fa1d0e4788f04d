//! Answers for people.

use std::path::Path;

use super::super::dump::{Pools, Tasks};
use super::super::profile::Format;
use crate::telemetry::Filters;
use crate::terminal::{bytes, seconds, table};

pub(super) fn tasks(tasks: &Tasks) -> String {
    let Tasks { program, runtime, loops, stages, running } = tasks;
    let mut parts = vec![format!(
        "{program}: {} tasks of its runtime on {} threads, {} of them waiting for a thread",
        runtime.tasks, runtime.threads, runtime.queued
    )];
    let mut rows = table(&["its own task", "state", "woken", "last", "since"]);
    for each in loops {
        rows.add_row([
            each.name.clone(),
            each.state.as_str().to_owned(),
            each.wakes.to_string(),
            format!("{} ago", seconds(each.idle_seconds)),
            seconds(each.seconds),
        ]);
    }
    parts.push(rows.to_string());
    if !stages.is_empty() {
        let mut rows = table(&["pool", "waits for", "tasks", "of at most"]);
        for stage in stages {
            rows.add_row([
                stage.pool.clone(),
                stage.stage.clone(),
                stage.waiting.to_string(),
                stage.most.to_string(),
            ]);
        }
        parts.push(rows.to_string());
    }
    if !running.is_empty() {
        let mut rows = table(&["task", "kind", "job", "attempt", "stage", "since", "progress"]);
        for task in running {
            let phase = task.progress.as_ref().and_then(|progress| progress["phase"].as_str());
            rows.add_row([
                task.id.clone(),
                task.kind.clone(),
                task.job.clone().unwrap_or_default(),
                task.attempt.to_string(),
                task.stage.clone(),
                seconds(task.seconds),
                phase.unwrap_or_default().to_owned(),
            ]);
        }
        parts.push(rows.to_string());
    }
    parts.join("\n\n")
}

pub(super) fn pools(pools: &Pools) -> String {
    let Pools { program, pools, connections } = pools;
    let mut parts = vec![program.clone()];
    if !pools.is_empty() {
        let mut rows = table(&["pool", "state", "slots", "busy", "tasks wait for"]);
        for pool in pools {
            rows.add_row([
                pool.kind.clone(),
                pool.state.clone(),
                pool.slots.to_string(),
                pool.busy.to_string(),
                pool.waiting_for.join(", "),
            ]);
        }
        parts.push(rows.to_string());
    }
    let mut rows = table(&["connections", "at most", "open", "free", "waited for", "in vain"]);
    for pool in connections {
        rows.add_row([
            pool.pool.clone(),
            pool.most.to_string(),
            pool.open.to_string(),
            pool.free.to_string(),
            pool.waiting.to_string(),
            pool.exhausted.to_string(),
        ]);
    }
    parts.push(rows.to_string());
    parts.join("\n\n")
}

pub(super) fn filters(filters: &Filters) -> String {
    format!("logs       {}\nconfigured {}", filters.current, filters.configured)
}

pub(super) fn written(out: &Path, size: usize, took: u64, format: Format) -> String {
    let size = bytes(i64::try_from(size).unwrap_or(i64::MAX));
    format!("{}: {size} of {format} about {took} s", out.display())
}

pub(super) fn written_json(out: &Path, size: usize) -> String {
    serde_json::json!({ "file": out, "bytes": size }).to_string()
}
