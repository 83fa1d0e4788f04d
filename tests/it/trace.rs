//! The trace that a publisher names is kept wherever its task goes.

use harness::{World, eventually};
use lapin::options::{BasicGetOptions, BasicRejectOptions};
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use shared::topology;
use uuid::Uuid;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "congo=t61rcWkgMzE";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const HEADERS: [(&str, &str); 2] = [("traceparent", PARENT), ("tracestate", STATE)];

/// The traces in a table, each once.
async fn traces(world: &World, table: &str) -> String {
    let statement = format!(
        "select string_agg(trace, '; ' order by trace) from (
             select distinct coalesce(nullif(concat_ws(' ', traceparent, tracestate), ''), 'none') as trace from {table}) t"
    );
    world.text(&statement).await.unwrap_or_default()
}

fn both() -> String {
    format!("{PARENT} {STATE}")
}

#[tokio::test]
async fn a_trace_is_kept_while_a_task_waits_and_runs_and_by_what_follows_from_it() {
    let world = World::new().await;
    let target = world.target("disk-a", &json!({ "limits": { "concurrency": 1 } }));
    let job = world.simulated_job("sim", &["disk-a"], &json!({ "duration": "300ms" }));
    world.apply(&json!({ "targets": [target], "jobs": [job] })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    // One waits for its time, the others stand in line.
    let [own, later, of_headers, without] = [(); 4].map(|()| Uuid::now_v7());
    let not_before = shared::clock::now() + chrono::TimeDelta::seconds(2);
    let tasks = json!({ "version": 1, "tasks": [
        { "id": of_headers, "kind": "backup", "job": "sim" },
        { "id": own, "kind": "backup", "job": "sim", "traceparent": OTHER },
        { "id": later, "kind": "backup", "job": "sim", "not_before": not_before, "traceparent": "malformed" },
    ] });
    world.broker.publish_with("backup.normal", &HEADERS, &[tasks.to_string().into()]).await;
    let plain = json!({ "version": 1, "id": without, "kind": "backup", "job": "sim" });
    let malformed = [("traceparent", "00-nonsense"), ("tracestate", STATE)];
    world.broker.publish_with("backup.normal", &malformed, &[plain.to_string().into()]).await;

    let done = "select count(*) from execution where outcome = 'success' and kind = 'backup'";
    eventually("all backups are done", async || (world.number(done).await == 4).then_some(())).await;
    world.wait_until_idle().await;
    for (id, expected) in
        [(of_headers, both()), (later, both()), (own, OTHER.to_owned()), (without, "none".to_owned())]
    {
        let (own, effects) = (
            format!("execution where task_id = '{id}'"),
            format!("execution where requested_by like '%{id}'"),
        );
        assert_eq!(traces(&world, &own).await, expected);
        assert_eq!(traces(&world, &effects).await, expected, "the verification of {id}");
    }
    let shown = world.producer(&["tasks", "show", &later.to_string(), "--json"]).await.json();
    assert_eq!(
        (&shown["executions"][0]["traceparent"], &shown["executions"][0]["tracestate"]),
        (&json!(PARENT), &json!(STATE))
    );
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_trace_is_kept_by_what_is_tried_again_rescued_cancelled_dead_and_replayed() {
    let world = World::new().await;
    let mut bad = world.simulated_job("bad", &["disk-a"], &json!({ "failure_rate": 1.0 }));
    bad["tries"] = json!({ "backup": { "attempts": 2 } });
    let slow = world.simulated_job("slow", &["disk-a"], &json!({ "duration": "10m" }));
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [bad, slow] })).await;
    let (producer, mut first) = (world.start_producer(), world.start_worker("w1", &[]));
    let [bad, slow] = [(); 2].map(|()| Uuid::now_v7());
    let tasks: Vec<Value> = [(bad, "bad"), (slow, "slow")]
        .iter()
        .map(|(id, job)| json!({ "id": id, "kind": "backup", "job": job }))
        .collect();
    let body = json!({ "version": 1, "tasks": tasks }).to_string();
    world.broker.publish_with("backup.normal", &HEADERS, &[body.into()]).await;

    let dead = format!("select count(*) from dead_task where id = '{bad}'");
    eventually("one is dead after its second attempt", async || {
        (world.number(&dead).await == 1).then_some(())
    })
    .await;
    assert_eq!(traces(&world, "dead_task").await, both());
    first.kill().await.unwrap();
    let second = world.start_worker("w2", &[]);
    let again = format!("select count(*) from lease where task_id = '{slow}' and rescues = 1");
    eventually("the other runs again", async || (world.number(&again).await == 1).then_some(())).await;
    assert_eq!(traces(&world, "lease").await, both());
    assert_eq!(world.producer(&["tasks", "cancel", &slow.to_string(), "--wait"]).await.code, 0);
    world.stop(second).await;
    let replay = world.producer(&["dead", "replay", &bad.to_string()]).await;
    assert_eq!(replay.code, 0, "{replay:?}");
    assert_eq!(traces(&world, "task").await, both());
    let replayed = world.text("select id::text from task").await.unwrap();
    assert_eq!(world.producer(&["tasks", "cancel", &replayed]).await.code, 0);

    let outcomes = "select string_agg(outcome, ' ' order by outcome) from execution";
    assert_eq!(world.text(outcomes).await.unwrap(), "cancelled cancelled failed failed lost");
    assert_eq!(traces(&world, "execution").await, both());
    world.stop(producer).await;
}

#[tokio::test]
async fn a_trace_goes_through_the_outbox_and_is_published_again_with_its_task() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let (_connection, channel) = world.broker.channel().await;
    let id = Uuid::now_v7();
    let body = json!({ "version": 1, "id": id, "kind": "backup", "job": "sim" });
    world.broker.publish_with("backup.normal", &HEADERS, &[body.to_string().into()]).await;
    // The broker gives up on what is delivered in vain too often, and the producer puts it into the outbox.
    let queue = topology::queue(shared::task::TaskKind::Backup, shared::task::Priority::Normal);
    while let Some(message) =
        channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await.unwrap()
    {
        let requeue = BasicRejectOptions { requeue: true };
        channel.basic_reject(message.delivery.delivery_tag, requeue).await.unwrap();
    }
    let producer = world.start_producer();
    let message = eventually("it is published again", async || {
        let taken = channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await.unwrap()?;
        Some(taken.delivery)
    })
    .await;
    assert_eq!(traces(&world, "task").await, both());
    let body: Value = serde_json::from_slice(&message.data).unwrap();
    assert_eq!(
        (&body["id"], &body["traceparent"], &body["tracestate"]),
        (&json!(id), &json!(PARENT), &json!(STATE))
    );
    let headers = message.properties.headers().clone().unwrap();
    for (name, value) in HEADERS {
        assert_eq!(headers.inner().get(name), Some(&AMQPValue::LongString(value.into())));
    }
    world.stop(producer).await;
}

#[tokio::test]
async fn a_dead_letter_has_its_trace_in_the_headers_and_brings_it_back() {
    let world = World::new().await;
    let worker = world.start_worker("w1", &[]);
    let id = Uuid::now_v7();
    let body = json!({ "version": 1, "id": id, "kind": "backup", "job": "later" });
    world
        .broker
        .publish_with("backup.normal", &HEADERS, &[body.to_string().into(), b"not json".to_vec()])
        .await;
    for letter in world.broker.dead_letters(2).await {
        let trace = HEADERS.map(|(name, _)| letter.headers[name].as_str());
        assert_eq!(trace, [PARENT, STATE], "{letter:?}");
    }
    world.stop(worker).await;
    let jobs = json!([world.simulated_job("later", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let run = world.producer(&["dead", "replay", "--reason", "unknown_job", "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.text("select id::text from task").await, Some(id.to_string()));
    assert_eq!(traces(&world, "task").await, both());
}
