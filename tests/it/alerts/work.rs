//! How the work goes on.

use super::*;

#[tokio::test]
async fn a_task_that_makes_no_progress_is_told_of_until_it_ends() {
    let rules = json!({ "task_stuck": { "after": "1s" } });
    let watched = Watched::new(&rules).await;
    let world = &watched.world;
    define(world, &json!({ "duration": "1h" }), &rules).await;
    let id = uuid::Uuid::now_v7().to_string();
    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--id", &id]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let cause = format!("task_stuck/{id}");
    until(world, &cause, "open").await;
    assert!(summary(world, &cause).await.starts_with("the backup of docs on worker w1 makes no progress"));
    assert_eq!(world.producer(&["tasks", "cancel", &id, "--wait"]).await.code, 0);
    until(world, &cause, "resolved").await;
    // A person who ends a task is no failure.
    assert_eq!(states(world, "backup_failed/docs").await, [""; 0]);
    watched.stop().await;
}

#[tokio::test]
async fn what_no_worker_takes_is_told_of_as_stuck_and_as_a_backlog_until_one_does() {
    let world = World::new().await;
    let rules = json!({ "task_stuck": { "waiting": "500ms" }, "backlog": { "for": "0s" } });
    define(&world, &json!({}), &rules).await;
    let producer = world.start_producer();
    let (reporter, _) = world.start_reporter().await;
    let run = world.producer(&["enqueue", "backup", "--job", "docs"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    until(&world, "task_stuck/waiting/backup", "open").await;
    until(&world, "backlog/backup", "open").await;
    let said = summary(&world, "backlog/backup").await;
    assert_eq!(said, "backup tasks wait for ever, because there are no slots");
    let worker = world.start_worker("w1", &[]);
    until(&world, "task_stuck/waiting/backup", "resolved").await;
    until(&world, "backlog/backup", "resolved").await;
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_worker_that_is_gone_is_told_of_until_another_one_takes_its_place() {
    let mut watched = Watched::new(&json!({ "worker_lost": { "after": "2s" } })).await;
    let seen = "select count(*) from worker where name = 'w1'";
    let world = &watched.world;
    eventually("the worker has shown itself", async || (world.number(seen).await == 1).then_some(())).await;
    let id = world.text("select id::text from worker").await.unwrap();
    watched.worker.kill().await.unwrap();
    let cause = format!("worker_lost/{id}");
    until(world, &cause, "open").await;
    assert!(summary(world, &cause).await.starts_with("worker w1 was heard of for the last time at"));
    let next = world.start_worker("w1", &[]);
    until(world, &cause, "resolved").await;
    // One that stops as it should is not lost.
    let own = world.text(&format!("select id::text from worker where id <> '{id}'")).await.unwrap();
    world.stop(next).await;
    look(world).await;
    assert_eq!(states(world, &format!("worker_lost/{own}")).await, [""; 0]);
    // Nor is the one in whose place it had started.
    assert_eq!(states(world, &cause).await, ["resolved"]);
    assert_eq!(world.number("select count(*) from worker").await, 0);
    world.stop(watched.reporter).await;
    world.stop(watched.producer).await;
}

#[tokio::test]
async fn a_worker_that_ends_takes_no_living_one_of_its_name_along() {
    let world = World::new().await;
    // Its heartbeats are so rare that the second begins and ends between two of them.
    let rare = [("HOLDFAST_LEASE", "5m"), ("HOLDFAST_HEARTBEAT", "60s")];
    let first = world.start("worker", "first", &[&rare[..], &[("HOLDFAST_NAME", "same")]].concat());
    let seen = "select count(*) from worker where name = 'same'";
    eventually("the first is there", async || (world.number(seen).await == 1).then_some(())).await;
    let second = world.start("worker", "second", &[&rare[..], &[("HOLDFAST_NAME", "same")]].concat());
    eventually("the second is there", async || (world.number(seen).await == 2).then_some(())).await;
    world.stop(second).await;
    assert_eq!(world.number(seen).await, 1);
    world.stop(first).await;
    assert_eq!(world.number(seen).await, 0);
}

#[tokio::test]
async fn that_no_producer_is_there_is_told_of_until_one_is() {
    let watched = Watched::new(&json!({ "producer_lost": { "for": "1s" } })).await;
    let world = &watched.world;
    look(world).await;
    assert_eq!(states(world, "producer_lost").await, [""; 0]);
    world.stop(watched.producer).await;
    until(world, "producer_lost", "open").await;
    let producer = world.start_producer();
    until(world, "producer_lost", "resolved").await;
    world.stop(watched.reporter).await;
    world.stop(watched.worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn dead_tasks_are_told_of_until_somebody_has_decided() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    define(world, &json!({ "failure_rate": 1.0 }), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "dead_tasks/backup", "open").await;
    // It is found when the attempt is folded in, which may be later.
    until(world, "backup_failed/docs", "open").await;
    assert_eq!(world.producer(&["dead", "drop", "--tasks", "--kind", "backup", "--yes"]).await.code, 0);
    until(world, "dead_tasks/backup", "resolved").await;
    // Whoever drops a dead task does not make its backup good.
    assert_eq!(states(world, "backup_failed/docs").await, ["open"]);
    watched.stop().await;
}
