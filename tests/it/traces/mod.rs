//! Traces: what a collector gets of tasks that real programs work on.

mod backup;
mod collectors;
mod others;
mod retries;

use harness::{Collector, Seen, World};
use serde_json::{Value, json};
use uuid::Uuid;

/// The trace of a task that no other was named for.
fn trace_of(task: Uuid) -> String {
    task.simple().to_string()
}

/// The spans of a name.
fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The one span of a name below another one.
fn below<'a>(spans: &'a [Seen], parent: &Seen, name: &str) -> &'a Seen {
    let found: Vec<&Seen> =
        spans.iter().filter(|span| span.parent == parent.id && span.name == name).collect();
    let [one] = found[..] else { panic!("{} spans {name} below {parent:?}, of {spans:#?}", found.len()) };
    one
}

/// The attempts of a task, in the order of their epochs.
fn attempts(spans: &[Seen], task: Uuid) -> Vec<&Seen> {
    let mut attempts: Vec<&Seen> =
        spans.iter().filter(|span| span.name.starts_with("process ") && span.is_of(task)).collect();
    attempts.sort_by_key(|span| span.attribute("holdfast.epoch").parse::<i64>().unwrap());
    attempts
}

/// A world with a job that only pretends.
async fn world_with(source: &Value, changes: &Value) -> World {
    let world = World::new().await;
    let mut job = world.simulated_job("sim", &["disk-a"], source);
    for (key, value) in changes.as_object().into_iter().flatten() {
        job[key] = value.clone();
    }
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job] })).await;
    world
}

/// A message that asks for backups of that job.
fn message(tasks: &[Uuid]) -> Vec<u8> {
    let tasks: Vec<Value> =
        tasks.iter().map(|id| json!({ "id": id, "kind": "backup", "job": "sim" })).collect();
    json!({ "version": 1, "tasks": tasks }).to_string().into_bytes()
}

/// A producer that traces.
fn producer(world: &World, collector: &Collector) -> devstack::Service {
    let reaper = ("HOLDFAST_REAPER_INTERVAL", "500ms");
    world.start("producer", "producer", &[&collector.settings()[..], &[reaper]].concat())
}
