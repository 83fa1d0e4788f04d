//! How much is delivered ahead follows what the messages hold, by the broker's own numbers.

use deadpool_postgres::{Client, Transaction};
use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// The worker's slots: twice as many tasks are to be delivered ahead.
const SLOTS: &str = "100";

async fn publish(world: &World, messages: usize, tasks: usize) {
    let task = || {
        let params = json!({ "target": "disk-a" });
        json!({ "version": 1, "id": Uuid::now_v7(), "kind": "probe", "job": "sim", "params": params })
    };
    let message = || match tasks {
        1 => task(),
        _ => json!({ "version": 1, "tasks": (0..tasks).map(|_| task()).collect::<Vec<Value>>() }),
    };
    let bodies: Vec<Vec<u8>> = (0..messages).map(|_| message().to_string().into()).collect();
    world.broker.publish("probe.normal", &bodies).await;
}

/// Keeps the worker from claiming anything: what is delivered stays unacknowledged until the transaction ends.
async fn hold_claims(client: &mut Client) -> Transaction<'_> {
    let transaction = client.transaction().await.unwrap();
    let hold = "set local idle_in_transaction_session_timeout = 0; lock table known_id in share mode";
    transaction.batch_execute(hold).await.unwrap();
    transaction
}

/// Waits until so many messages are left in the queue: the broker has delivered all others.
async fn until_left(world: &World, messages: u32) {
    eventually(&format!("{messages} messages are left in the queue"), async || {
        (world.broker.ready("holdfast.probe.normal").await == messages).then_some(())
    })
    .await;
}

async fn until_done(world: &World, tasks: i64) {
    let done = "select count(*) from execution where kind = 'probe' and outcome = 'success'";
    eventually(&format!("{tasks} tasks are done"), async || {
        (world.number(done).await >= tasks).then_some(())
    })
    .await;
    world.wait_until_idle().await;
    assert_eq!(world.number(done).await, tasks);
}

#[tokio::test]
async fn fewer_messages_of_many_tasks_than_of_one_are_delivered_ahead_and_none_is_lost_as_that_changes() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let mut client = world.database.client().await.unwrap();
    // On a slow machine tasks are parked: it brings them back.
    let producer = world.start_producer();

    let held = hold_claims(&mut client).await;
    publish(&world, 80, 25).await;
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_PROBE_SLOTS", SLOTS)]);
    // It begins with few, as it knows nothing of them.
    until_left(&world, 80 - 32).await;
    held.rollback().await.unwrap();
    until_done(&world, 2000).await;

    let held = hold_claims(&mut client).await;
    publish(&world, 20, 25).await;
    // 200 tasks.
    until_left(&world, 20 - 8).await;
    held.rollback().await.unwrap();
    publish(&world, 300, 1).await;
    until_done(&world, 2800).await;

    let held = hold_claims(&mut client).await;
    publish(&world, 400, 1).await;
    until_left(&world, 400 - 200).await;
    held.rollback().await.unwrap();
    until_done(&world, 3200).await;

    until_left(&world, 0).await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}
