//! Claims: an id runs once, what cannot start is parked, what is lost comes again.

use std::time::Duration;

use harness::{World, eventually};
use serde_json::{Value, json};
use shared::db::known_id;
use uuid::Uuid;

async fn world_with_a_job(source: Value) -> World {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &source)]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

fn message(id: Uuid) -> Vec<u8> {
    json!({ "version": 1, "id": id, "kind": "backup", "job": "sim" }).to_string().into()
}

const BACKUPS: &str = "select count(*) from execution where kind = 'backup' and outcome = 'success'";

#[tokio::test]
async fn an_id_runs_once_however_often_it_is_published() {
    let world = world_with_a_job(json!({})).await;
    let id = Uuid::now_v7();
    let many = json!({ "version": 1, "tasks": [
        { "id": id, "kind": "backup", "job": "sim" }, { "id": id, "kind": "backup", "job": "sim" }] });
    world.broker.publish("backup.normal", &[message(id), many.to_string().into(), message(id)]).await;
    let workers = [world.start_worker("w1", &[]), world.start_worker("w2", &[])];
    eventually("the id has run", async || (world.number(BACKUPS).await > 0).then_some(())).await;
    // Also after it finished, and when another way in names it.
    world.broker.publish("backup.normal", &[message(id), message(Uuid::now_v7())]).await;
    let run = world.producer(&["enqueue", "backup", "--job", "sim", "--id", &id.to_string()]).await;
    assert_eq!(run.code, 0, "{run:?}");
    eventually("the other id has run", async || (world.number(BACKUPS).await == 2).then_some(())).await;
    eventually("the queue is empty", async || {
        (world.broker.ready("holdfast.backup.normal").await == 0).then_some(())
    })
    .await;
    assert_eq!(world.number(BACKUPS).await, 2);
    world.check_invariants().await;
    for worker in workers {
        world.stop(worker).await;
    }
}

#[tokio::test]
async fn what_finds_no_slot_is_parked_and_acknowledged_and_runs_later() {
    let world = world_with_a_job(json!({ "duration": "8s" })).await;
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "1")]);
    let ids: Vec<Uuid> = (0..2).map(|_| Uuid::now_v7()).collect();
    world.broker.publish("backup.normal", &ids.iter().map(|id| message(*id)).collect::<Vec<_>>()).await;
    eventually("one runs and the other is parked", async || {
        let running = world.number("select count(*) from lease").await;
        let parked = world.number("select count(*) from task where run_at > now()").await;
        (running == 1 && parked == 1).then_some(())
    })
    .await;
    // Both deliveries are settled: nothing would be delivered again.
    assert_eq!(world.broker.ready("holdfast.backup.normal").await, 0);
    // Nobody needs to wait for the parked one's own time here.
    let producer = world.start_producer();
    eventually("both have run", async || (world.number(BACKUPS).await == 2).then_some(())).await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_task_that_must_not_start_yet_waits_in_the_database() {
    let world = world_with_a_job(json!({})).await;
    let worker = world.start_worker("w1", &[]);
    let message = json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": "sim",
        "not_before": "2999-01-01T00:00:00Z" });
    world.broker.publish("backup.normal", &[message.to_string().into()]).await;
    let waits = "select count(*) from task where run_at = '2999-01-01T00:00:00Z'";
    eventually("the task waits", async || (world.number(waits).await == 1).then_some(())).await;
    // A stale copy of the message cannot overtake it.
    let early = json!({ "version": 1, "id": message["id"], "kind": "backup", "job": "sim" });
    world.broker.publish("backup.normal", &[early.to_string().into(), self::message(Uuid::now_v7())]).await;
    eventually("the other task has run", async || (world.number(BACKUPS).await == 1).then_some(())).await;
    assert_eq!(world.number(waits).await, 1);
    world.stop(worker).await;
}

#[tokio::test]
async fn a_lost_connection_to_the_broker_loses_and_doubles_nothing() {
    let world = world_with_a_job(json!({ "duration": "50ms" })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "10")]);
    let ids: Vec<Vec<u8>> = (0..300).map(|_| message(Uuid::now_v7())).collect();
    world.broker.publish("backup.normal", &ids).await;
    for done in [20, 120] {
        eventually("some have run", async || (world.number(BACKUPS).await >= done).then_some(())).await;
        // The management interface lists connections every five seconds.
        eventually("connections were closed", async || {
            (world.broker.close_connections().await > 0).then_some(())
        })
        .await;
    }
    eventually("all have run", async || (world.number(BACKUPS).await == 300).then_some(())).await;
    world.wait_until_idle().await;
    assert_eq!(world.number(BACKUPS).await, 300);
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_it_runs_without_counting_the_attempt() {
    let world = world_with_a_job(json!({ "duration": "10m" })).await;
    let settings = [("HOLDFAST_GRACE", "1s"), ("HOLDFAST_LEASE", "5m"), ("HOLDFAST_HEARTBEAT", "10s")];
    let worker = world.start_worker("w1", &settings);
    world.broker.publish("backup.normal", &[message(Uuid::now_v7())]).await;
    eventually("it runs", async || (world.number("select count(*) from lease").await == 1).then_some(()))
        .await;
    world.stop(worker).await;
    assert_eq!(world.number("select count(*) from lease").await, 0);
    assert_eq!(world.number("select count(*) from task where attempt = 0 and run_at <= now()").await, 1);
    assert_eq!(world.number("select count(*) from execution").await, 0);
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let world = world_with_a_job(json!({ "duration": "10m" })).await;
    let mut worker = world.start_worker("w1", &[("HOLDFAST_GRACE", "10m")]);
    world.broker.publish("backup.normal", &[message(Uuid::now_v7())]).await;
    eventually("it runs", async || (world.number("select count(*) from lease").await == 1).then_some(()))
        .await;
    worker.signal(15).unwrap();
    eventually("it has begun to stop", async || worker.log().contains("stopping").then_some(())).await;
    worker.signal(15).unwrap();
    let exit = worker.wait(Duration::from_secs(30)).await.unwrap();
    assert!(exit.success(), "{exit:?}");
    assert_eq!(world.number("select count(*) from task where attempt = 0").await, 1);
    worker.kill().await.unwrap();
}

#[tokio::test]
async fn a_later_message_with_the_same_id_cannot_postpone_a_waiting_task() {
    let world = world_with_a_job(json!({})).await;
    let id = Uuid::now_v7();
    let run = world.producer(&["enqueue", "backup", "--job", "sim", "--id", &id.to_string()]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let later = json!({ "version": 1, "id": id, "kind": "backup", "job": "sim", "not_before": "2999-01-01T00:00:00Z" });
    world.broker.publish("backup.normal", &[later.to_string().into(), message(Uuid::now_v7())]).await;
    let worker = world.start_worker("w1", &[]);
    eventually("the other task has run", async || (world.number(BACKUPS).await == 1).then_some(())).await;
    let producer = world.start_producer();
    eventually("the waiting task has run", async || (world.number(BACKUPS).await == 2).then_some(())).await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_waiting_task_of_a_job_that_became_inactive_dies_once_and_is_no_dead_letter() {
    let world = world_with_a_job(json!({})).await;
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "sim"]).await.code, 0);
    let mut job = world.simulated_job("sim", &["disk-a"], &json!({}));
    job["active"] = json!(false);
    world.apply(&json!({ "targets": [], "jobs": [job] })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    eventually("the task is dead", async || {
        (world.number("select count(*) from dead_task where reason = 'refused'").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.number("select count(*) from task").await, 0);
    eventually("its message is settled", async || {
        (world.broker.ready("holdfast.backup.normal").await == 0).then_some(())
    })
    .await;
    assert_eq!(world.broker.ready("holdfast.dead").await, 0);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_pool_that_paused_with_deliveries_of_many_tasks_goes_on() {
    let world = world_with_a_job(json!({ "duration": "6s" })).await;
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "2")]);
    let many = || {
        let tasks: Vec<Value> =
            (0..20).map(|_| json!({ "id": Uuid::now_v7(), "kind": "backup", "job": "sim" })).collect();
        json!({ "version": 1, "tasks": tasks }).to_string().into()
    };
    // More tasks than all stages hold, so that deliveries wait in the consumer's buffer as it pauses.
    world.broker.publish("backup.normal", &[many(), many(), many(), many()]).await;
    eventually("two run and all others are parked", async || {
        let settled = world.broker.ready("holdfast.backup.normal").await == 0;
        (settled && world.number("select count(*) from known_id").await == 80).then_some(())
    })
    .await;
    world.execute("delete from task").await;
    world.broker.publish("backup.normal", &[message(Uuid::now_v7())]).await;
    let before = world.number(BACKUPS).await;
    eventually("more has run", async || (world.number(BACKUPS).await >= before + 3).then_some(())).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn an_id_is_remembered_until_its_window_is_over_and_its_task_is_no_more() {
    let world = world_with_a_job(json!({})).await;
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        world.execute(&format!("insert into known_id values ('{id}', current_date - 9)")).await;
    }
    let [waiting, dead, recent, over] = &ids[..] else { unreachable!() };
    world
        .execute(&format!(
            "insert into task (id, kind, priority, params, requested_by, enqueued_at, run_at, publish_at)
                 values ('{waiting}', 'report', 'normal', '{{}}', 'test', now(), 'infinity', 'infinity');
             insert into dead_task (id, kind, priority, params, requested_by, enqueued_at, attempts, rescues, \
                 reason, last_error)
                 values ('{dead}', 'report', 'normal', '{{}}', 'test', now(), 1, 0, 'failed', 'test');
             update known_id set day = current_date - 7 where id = '{recent}'"
        ))
        .await;
    let client = world.database.client().await.unwrap();
    let window = Duration::from_hours(7 * 24 - 1);
    let all = known_id::Pages { first: 0, count: known_id::pages(&client).await.unwrap() };
    let beyond = known_id::Pages { first: all.count, count: 1 };
    assert_eq!(known_id::forget(&client, window, beyond).await.unwrap(), 0);
    assert_eq!(known_id::forget(&client, window, all).await.unwrap(), 1);
    let forgotten = format!("select count(*) from known_id where id = '{over}'");
    assert_eq!(world.number(&forgotten).await, 0);
}
