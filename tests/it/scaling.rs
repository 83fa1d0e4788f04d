//! The scaling signal counts what more workers could do, wherever it waits.

use std::collections::BTreeMap;

use harness::{World, eventually, metrics};
use serde_json::{Value, json};
use uuid::Uuid;

async fn publish(world: &World, job: &str, messages: usize, per_message: usize) {
    let task = |_| json!({ "id": Uuid::now_v7(), "kind": "backup", "job": job });
    let body = || json!({ "version": 1, "tasks": (0..per_message).map(task).collect::<Vec<Value>>() });
    let bodies: Vec<_> = (0..messages).map(|_| body().to_string().into()).collect();
    world.broker.publish("backup.normal", &bodies).await;
}

/// Waits until the reporter says so of the backup pool.
async fn until(url: &str, what: &str, expected: &[(&str, f64)]) {
    let mut last = Vec::new();
    eventually(what, async || {
        let metrics = metrics(url).await;
        let value = |name: &str| metrics.get(&format!(r#"{name}{{kind="backup"}}"#)).copied();
        let seen: Vec<_> = expected.iter().map(|(name, _)| (*name, value(name))).collect();
        if seen != last {
            println!("{what}: {seen:?}");
            last = seen;
        }
        let holds = |&(name, expected): &(&str, f64)| {
            value(name)
                .is_some_and(|value| value.total_cmp(&expected).is_eq() || (value - expected).abs() < 1e-6)
        };
        expected.iter().all(holds).then_some(())
    })
    .await;
}

const WAITING: &str = "holdfast_pool_waiting";
const RUNNING: &str = "holdfast_tasks_running";
const NEEDED: &str = "holdfast_pool_slots_needed";
const DRAIN: &str = "holdfast_pool_drain_seconds";

#[tokio::test]
async fn each_task_that_waits_for_a_slot_is_counted_once_wherever_it_waits() {
    let world = World::new().await;
    let source = json!({ "duration": "1h" });
    let jobs = json!([
        world.simulated_job("a", &["disk-a"], &source),
        world.simulated_job("b", &["disk-b"], &source),
    ]);
    let narrow = json!({ "limits": { "concurrency": 1 } });
    let targets = json!([world.target("disk-a", &json!({})), world.target("disk-b", &narrow)]);
    world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
    let (reporter, url) = world.start_reporter().await;

    // In a queue, without any worker.
    publish(&world, "b", 2, 1).await;
    until(&url, "two wait", &[(WAITING, 2.0), (RUNNING, 0.0), (NEEDED, 0.4), (DRAIN, f64::INFINITY)]).await;

    // The second waits for its target, which no slot can help.
    let settings = [("HOLDFAST_POOLS_BACKUP_SLOTS", "3"), ("HOLDFAST_GRACE", "1s")];
    let worker = world.start_worker("w1", &settings);
    until(&url, "one runs", &[(WAITING, 0.0), (RUNNING, 1.0), (NEEDED, 1.0), (DRAIN, 0.0)]).await;

    // In the line of the pool, and before that in the worker's hands.
    publish(&world, "a", 20, 1).await;
    until(&url, "all slots are taken", &[(WAITING, 18.0), (RUNNING, 3.0), (NEEDED, 6.6), (DRAIN, 360.0)])
        .await;

    // In the queue and in the line.
    let paused = world.producer(&["pools", "pause", "backup"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    eventually("it is paused", async || worker.log().contains("paused").then_some(())).await;
    publish(&world, "a", 20, 1).await;
    until(&url, "none may start", &[(WAITING, 38.0), (RUNNING, 3.0), (NEEDED, 3.0), (DRAIN, f64::INFINITY)])
        .await;
    let resumed = world.producer(&["pools", "resume", "backup"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let in_line = "select count(*) from task where waiting_for = 'limit:pool:backup'";
    eventually("all stand in line", async || (world.number(in_line).await == 38).then_some(())).await;
    until(&url, "they need slots again", &[(WAITING, 38.0), (RUNNING, 3.0), (NEEDED, 10.6), (DRAIN, 760.0)])
        .await;

    // A worker that is scaled in hands back at once what it runs; the relay publishes it.
    let producer = world.start_producer();
    world.stop(worker).await;
    // So does the one for whose target there is room now.
    until(&url, "what ran waits again", &[(WAITING, 42.0), (RUNNING, 0.0), (DRAIN, f64::INFINITY)]).await;
    world.stop(producer).await;
    world.stop(reporter).await;
    world.check_invariants().await;
}

#[tokio::test]
async fn rates_and_time_to_drain_are_those_of_what_comes_and_ends() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("a", &["disk-a"], &json!({ "duration": "200ms" }))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let (reporter, url) = world.start_reporter().await;
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "4")]);
    let value = |metrics: &BTreeMap<String, f64>, name: &str| {
        metrics.get(&format!(r#"{name}{{kind="backup"}}"#)).copied().unwrap_or(0.0)
    };
    publish(&world, "a", 15, 10).await;
    let seen = eventually("a third has ended", async || {
        let metrics = metrics(&url).await;
        let ended = metrics.get(r#"holdfast_executions_total{kind="backup",outcome="success"}"#);
        (ended.is_some_and(|ended| *ended >= 50.0) && value(&metrics, WAITING) > 0.0).then_some(metrics)
    })
    .await;
    let completions = value(&seen, "holdfast_pool_completions_per_second");
    // Four slots end at most twenty a second; two looks may see a few more between them.
    assert!(completions > 0.0 && completions < 22.0, "{completions}");
    assert!(value(&seen, "holdfast_pool_arrivals_per_second") > 0.0, "{seen:#?}");
    // Each holds a slot for at least 200 ms.
    let (waiting, drain) = (value(&seen, WAITING), value(&seen, DRAIN));
    assert!(drain >= waiting * 0.2 / 4.0 * 0.999, "{drain} for {waiting}");
    eventually("nothing is left", async || {
        let metrics = metrics(&url).await;
        // One that is not shown says nothing: a reporter that has no time lets its gauges go.
        let is_none = |name: &&str| {
            metrics.get(&format!(r#"{name}{{kind="backup"}}"#)).is_some_and(|value| *value < 1e-6)
        };
        [WAITING, RUNNING, NEEDED, DRAIN].iter().all(is_none).then_some(())
    })
    .await;

    // The broker counts messages; how many tasks one holds is known from those before.
    let paused = world.producer(&["pools", "pause", "backup"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    eventually("it is paused", async || worker.log().contains("paused").then_some(())).await;
    publish(&world, "a", 3, 10).await;
    until(&url, "thirty wait", &[(WAITING, 30.0), (RUNNING, 0.0)]).await;
    world.stop(worker).await;
    world.stop(reporter).await;
}
