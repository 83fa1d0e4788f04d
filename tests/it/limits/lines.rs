//! Who of those that wait for one limit gets it.

use std::collections::BTreeMap;

use harness::{World, eventually};
use serde_json::json;

use super::{DONE, IN_LINE, check_caps, publish, until, worker, world};

/// The owners, or priorities, of tasks in the order in which they began.
async fn order(world: &World, column: &str) -> Vec<String> {
    let client = world.database.client().await.unwrap();
    let statement = format!(
        "select {column} from execution e join job j on j.id = e.job_id
         where e.kind = 'backup' order by e.started_at, e.finished_at"
    );
    client.query(&statement, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn counts(order: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for one in order {
        *counts.entry(one.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn owners_that_wait_for_one_limit_get_what_their_weights_say() {
    let limits = json!({ "others": [
        { "pool": "backup", "concurrency": 1 }, { "owner": "ops", "weight": 3 }] });
    let world = world(&json!({}), &limits).await;
    // The line is there before anybody may start.
    let paused = world.producer(&["pools", "pause", "backup"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    let worker = worker(&world, "w1", "4");
    let jobs: Vec<(&str, usize)> = vec![("b", 60), ("a", 60)];
    for (job, tasks) in jobs {
        for _ in 0..tasks {
            let run = world.producer(&["enqueue", "backup", "--job", job]).await;
            assert_eq!(run.code, 0, "{run:?}");
        }
    }
    stand_in_line(&world, "limit:pool:backup").await;
    assert_eq!(world.producer(&["pools", "resume", "backup"]).await.code, 0);
    until(&world, "all have run", DONE, 120).await;
    let order = order(&world, "j.name").await;
    let first = counts(&order[..60]);
    assert!((44..=46).contains(&first["a"]), "{first:?}");
    check_caps(&world).await;
    world.stop(worker).await;
}

/// Puts all that waits into the line of a key, as claims do.
async fn stand_in_line(world: &World, key: &str) {
    world
        .execute(&format!(
            "update task t set run_at = 'infinity', publish_at = 'infinity', waiting_for = '{key}', waiting_since = enqueued_at,
                 owner = (select definition ->> 'owner' from job j where j.id = t.job_id);
             insert into line (waiting_for, kind, owner, priority, served)
                 select distinct waiting_for, kind, owner, priority, 0 from task"
        ))
        .await;
}

#[tokio::test]
async fn high_goes_before_normal_and_normal_is_not_starved() {
    let limits = json!({ "others": [{ "pool": "backup", "concurrency": 1 }] });
    let world = world(&json!({}), &limits).await;
    assert_eq!(world.producer(&["pools", "pause", "backup"]).await.code, 0);
    let worker = worker(&world, "w1", "4");
    for _ in 0..66 {
        let run = world.producer(&["enqueue", "backup", "--job", "a"]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }
    world
        .execute(
            "update task set priority = 'high', requested_by = 'high' where id in (
             select id from task order by enqueued_at desc limit 40)",
        )
        .await;
    stand_in_line(&world, "limit:pool:backup").await;
    assert_eq!(world.producer(&["pools", "resume", "backup"]).await.code, 0);
    until(&world, "all have run", DONE, 66).await;
    let order = order(&world, "e.requested_by").await;
    assert_eq!(counts(&order[..22])["high"], 20, "{order:?}");
    world.stop(worker).await;
}

#[tokio::test]
async fn tasks_in_line_of_a_job_that_became_inactive_die_when_they_are_called() {
    let world = world(&json!({ "duration": "1s" }), &json!({ "disk-a": { "concurrency": 1 } })).await;
    let worker = worker(&world, "w1", "4");
    publish(&world, "a", 3).await;
    until(&world, "two stand in line", IN_LINE, 2).await;
    let mut job = world.simulated_job("a", &["disk-a"], &json!({}));
    job["active"] = json!(false);
    world.apply(&json!({ "targets": [], "jobs": [job] })).await;
    until(&world, "they are dead", "select count(*) from dead_task where reason = 'refused'", 2).await;
    check_caps(&world).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn tasks_of_a_full_target_stay_in_their_line_while_the_pool_is_full_as_well() {
    let limits =
        json!({ "disk-a": { "concurrency": 2 }, "others": [{ "pool": "backup", "concurrency": 1 }] });
    let world = world(&json!({ "duration": "1s" }), &limits).await;
    let worker = worker(&world, "w1", "5");
    publish(&world, "a", 200).await;
    until(&world, "one runs and the others stand in line", IN_LINE, 199).await;
    let moved = "select n_tup_upd + n_tup_hot_upd from pg_stat_user_tables where relname = 'task'";
    until(&world, "three have run", DONE, 3).await;
    // Each row may have changed its line once or twice, and not with each task that ended.
    assert!(world.number(moved).await < 1000, "{} updates", world.number(moved).await);
    check_caps(&world).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn many_tasks_that_wait_for_a_full_pool_stand_in_fair_lines() {
    let world = world(&json!({ "duration": "500ms" }), &json!({})).await;
    let worker = worker(&world, "w1", "2");
    publish(&world, "b", 400).await;
    eventually("those that find no slot stand in line", async || {
        (world.number(IN_LINE).await > 100).then_some(())
    })
    .await;
    publish(&world, "a", 4).await;
    let mine = "select count(*) from execution e join job j on j.id = e.job_id where j.name = 'a'";
    until(&world, "the few of another owner have run", mine, 4).await;
    assert!(world.number(DONE).await < 200, "they waited until the others had run");
    world.stop(worker).await;
}
