//! Pools that are changed, paused and drained while they run.

use devstack::Service;
use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

async fn world(source: &Value) -> World {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], source)]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

async fn publish(world: &World, tasks: usize) {
    let tasks: Vec<Value> =
        (0..tasks).map(|_| json!({ "id": Uuid::now_v7(), "kind": "backup", "job": "sim" })).collect();
    world
        .broker
        .publish("backup.normal", &[json!({ "version": 1, "tasks": tasks }).to_string().into()])
        .await;
}

fn worker(world: &World, name: &str) -> Service {
    world.start_worker(name, &[("HOLDFAST_POOLS_BACKUP_SLOTS", "2")])
}

async fn pools(world: &World, arguments: &[&str]) {
    let run = world.producer(&[&["pools"], arguments].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
}

async fn until_running(world: &World, name: &str, tasks: i64) {
    let statement =
        format!("select count(*) from lease l join worker w on w.id = l.worker_id where w.name = '{name}'");
    eventually(&format!("{tasks} run on {name}"), async || {
        (world.number(&statement).await == tasks).then_some(())
    })
    .await;
}

const DONE: &str = "select count(*) from execution where outcome = 'success' and kind = 'backup'";

#[tokio::test]
async fn a_pool_runs_more_or_fewer_tasks_when_it_is_told_to() {
    let world = world(&json!({ "duration": "10m" })).await;
    let worker = worker(&world, "w1");
    publish(&world, 20).await;
    until_running(&world, "w1", 2).await;
    pools(&world, &["set", "backup", "--slots", "5"]).await;
    until_running(&world, "w1", 5).await;
    pools(&world, &["set", "backup", "--worker", "w1", "--slots", "6"]).await;
    until_running(&world, "w1", 6).await;
    // What runs goes on; nothing more begins.
    pools(&world, &["set", "backup", "--worker", "w1", "--slots", "1"]).await;
    let listed = async || {
        let pools = world.producer(&["pools", "list", "--json"]).await.json();
        pools.as_array().unwrap().iter().find(|pool| pool["kind"] == "backup").cloned().unwrap()
    };
    eventually("the worker says so", async || (listed().await["slots"] == 1).then_some(())).await;
    assert_eq!(listed().await["busy"], 6);
    world.stop(worker).await;
}

#[tokio::test]
async fn a_paused_pool_starts_nothing_also_after_a_restart_until_it_is_resumed() {
    let world = world(&json!({})).await;
    let first = worker(&world, "w1");
    eventually("the worker is there", async || {
        (world.number("select count(*) from worker").await == 1).then_some(())
    })
    .await;
    pools(&world, &["pause", "backup"]).await;
    eventually("it is paused", async || first.log().contains("paused").then_some(())).await;
    world.stop(first).await;
    let second = worker(&world, "w1");
    eventually("it is paused again", async || second.log().contains("paused").then_some(())).await;
    publish(&world, 5).await;
    // Another pool shows that this worker works.
    let producer = world.start_producer();
    let run = world.producer(&["enqueue", "report", "--wait", "--timeout", "30s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.number(DONE).await, 0);
    pools(&world, &["resume", "backup"]).await;
    eventually("all have run", async || (world.number(DONE).await == 5).then_some(())).await;
    world.stop(second).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_drained_pool_gives_back_what_it_runs_and_another_worker_goes_on_with_it() {
    let world = world(&json!({ "duration": "10m" })).await;
    let producer = world.start_producer();
    let first = worker(&world, "w1");
    publish(&world, 2).await;
    until_running(&world, "w1", 2).await;
    let second = worker(&world, "w2");
    eventually("both are there", async || {
        (world.number("select count(*) from worker").await == 2).then_some(())
    })
    .await;
    pools(&world, &["drain", "backup", "--worker", "w1"]).await;
    until_running(&world, "w2", 2).await;
    assert_eq!(
        world.number("select count(*) from lease where attempt = 1").await,
        2,
        "the attempts were given back"
    );
    pools(&world, &["resume", "backup", "--worker", "w1"]).await;
    pools(&world, &["drain", "backup", "--worker", "w2"]).await;
    until_running(&world, "w1", 2).await;
    world.stop(first).await;
    world.stop(second).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused() {
    let world = world(&json!({})).await;
    for (arguments, said) in [
        (&["set", "backup"][..], "--slots"),
        (&["set", "backup", "--slots", "0"], "slots"),
        (&["set", "backup", "--slots", "-3"], "slots"),
        (&["set", "backup", "--slots", "99999"], "slots"),
        (&["pause", "backups"], "backups"),
        (&["pause", "backup", "--worker", "nobody"], "nobody"),
        (&["set", "backup", "--starts-per-minute", "-1"], "starts_per_minute"),
    ] {
        let run = world.producer(&[&["pools"], arguments].concat()).await;
        assert!(run.code == 2 && run.stderr.contains(said), "{arguments:?}: {run:?}");
    }
    assert_eq!(world.number("select count(*) from pool_setting").await, 0);
}
