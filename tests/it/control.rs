//! Control of running work: a person's word, time limits, attempts, progress, and a process of its own.

use harness::{World, address, children, count_files, eventually, hold_inside_backup, metrics};
use rustix::process::test_kill_process;
use serde_json::{Value, json};
use uuid::Uuid;

async fn world_with(source: Value, tries: Value) -> World {
    let world = World::new().await;
    let mut job = world.simulated_job("sim", &["disk-a"], &source);
    job["tries"] = tries;
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job] })).await;
    world
}

async fn enqueue(world: &World, id: Uuid) {
    let run = world.producer(&["enqueue", "backup", "--job", "sim", "--id", &id.to_string()]).await;
    assert_eq!(run.code, 0, "{run:?}");
}

async fn outcomes(world: &World) -> String {
    let statement = "select coalesce(string_agg(outcome, ' ' order by finished_at), '') from execution";
    world.text(statement).await.unwrap_or_default()
}

#[tokio::test]
async fn a_running_task_whose_end_is_asked_for_ends_and_is_recorded_as_cancelled() {
    let world = world_with(json!({ "duration": "10m" }), json!({})).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    enqueue(&world, Uuid::now_v7()).await;
    eventually("it runs", async || (world.number("select count(*) from lease").await == 1).then_some(()))
        .await;
    world.execute("update lease set cancelled_by = 'ops'").await;
    eventually("it has ended", async || {
        (world.number("select count(*) from lease").await == 0).then_some(())
    })
    .await;
    assert_eq!(outcomes(&world).await, "cancelled");
    assert_eq!(world.text("select error from execution").await.as_deref(), Some("cancelled by ops"));
    assert_eq!(
        world.number("select (select count(*) from task) + (select count(*) from dead_task)").await,
        0
    );
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_cancelled_backup_ends_its_engine_and_leaves_no_restore_point() {
    let world = World::new().await;
    world.write("source/large", harness::noise(100 << 20));
    let jobs = json!([world.files_job("docs", &["disk-a"])]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs"]).await.code, 0);
    let (repository, pid) = (world.path("repositories/disk-a"), worker.pid());
    let held = {
        let repository = repository.clone();
        move || hold_inside_backup(&repository, pid)
    };
    let engine = tokio::task::spawn_blocking(held).await.unwrap();
    world.execute("update lease set cancelled_by = 'ops' where kind = 'backup'").await;
    eventually("it has ended", async || {
        (world.number("select count(*) from lease").await == 0).then_some(())
    })
    .await;
    assert_eq!(outcomes(&world).await, "cancelled");
    assert_eq!(world.number("select count(*) from restore_point").await, 0);
    // It was stopped, and so could not end by itself.
    assert!(test_kill_process(engine).is_err(), "the engine lives");
    assert_eq!(count_files(&repository, "snapshots"), 0);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_tried_as_often_as_its_job_says_and_every_error_is_kept() {
    let tries = json!({ "backup": { "attempts": 2, "timeout": "1s" } });
    let world = world_with(json!({ "duration": "10m" }), tries).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    enqueue(&world, Uuid::now_v7()).await;
    eventually("it waits for its second attempt or is dead", async || {
        // Nobody needs to wait for the backoff here.
        world.execute("update task set run_at = now(), publish_at = now() where attempt = 1").await;
        (world.number("select count(*) from dead_task where reason = 'timed_out'").await == 1).then_some(())
    })
    .await;
    assert_eq!(outcomes(&world).await, "timed_out timed_out");
    let errors = "select count(*) from execution where error = 'not done within its time limit of 1s'";
    assert_eq!(world.number(errors).await, 2);
    assert_eq!(world.number("select attempts::bigint from dead_task").await, 2);
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_worker_says_how_often_a_kind_is_tried_where_its_job_says_nothing() {
    let world = world_with(json!({ "failure_rate": 1.0 }), json!({})).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_ATTEMPTS", "1")]);
    enqueue(&world, Uuid::now_v7()).await;
    eventually("it is dead", async || {
        (world.number("select count(*) from dead_task where reason = 'failed'").await == 1).then_some(())
    })
    .await;
    assert_eq!(outcomes(&world).await, "failed");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn the_progress_of_running_work_is_visible_with_its_speed() {
    let world = world_with(json!({ "duration": "10m", "bytes": "6GiB" }), json!({})).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    enqueue(&world, Uuid::now_v7()).await;
    eventually("progress has moved", async || {
        let moved = "select count(*) from lease where (progress ->> 'bytes_done')::bigint > 0
             and (progress ->> 'bytes_per_second')::bigint > 0 and (progress ->> 'bytes_total')::bigint = 6442450944";
        (world.number(moved).await == 1).then_some(())
    })
    .await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_task_that_lost_two_workers_runs_alone_and_is_recorded_once() {
    let world = world_with(json!({ "duration": "4s" }), json!({})).await;
    let id = Uuid::now_v7();
    enqueue(&world, id).await;
    world.execute("update task set rescues = 2, epoch = 4").await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
    let url = address(&worker).await;
    eventually("it runs", async || (world.number("select count(*) from lease").await == 1).then_some(()))
        .await;
    eventually("it runs in a process of its own", async || {
        worker.log().contains("runs alone in its process").then_some(())
    })
    .await;
    // Longer than its lease: the child extends it.
    eventually("it has succeeded", async || outcomes(&world).await.starts_with("success").then_some(()))
        .await;
    eventually("its process has ended", async || children(worker.pid()).is_empty().then_some(())).await;
    eventually("its worker counts it", async || {
        let counted =
            metrics(&url).await["holdfast_worker_attempts_total{kind=\"backup\",outcome=\"success\"}"];
        (counted > 0.0).then_some(())
    })
    .await;
    world.wait_until_idle().await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_worker_that_stops_takes_back_what_runs_alone() {
    let world = world_with(json!({ "duration": "10m" }), json!({})).await;
    enqueue(&world, Uuid::now_v7()).await;
    world.execute("update task set rescues = 2, epoch = 4").await;
    let producer = world.start_producer();
    let settings = [("HOLDFAST_GRACE", "1s"), ("HOLDFAST_LEASE", "5m"), ("HOLDFAST_HEARTBEAT", "10s")];
    let worker = world.start_worker("w1", &settings);
    eventually("it runs alone", async || {
        let progress = "select count(*) from lease where progress is not null";
        (world.number(progress).await == 1).then_some(())
    })
    .await;
    world.stop(producer).await;
    world.stop(worker).await;
    assert_eq!(world.number("select count(*) from lease").await, 0);
    let back = "select count(*) from task where attempt = 0 and rescues = 2 and run_at <= now()";
    assert_eq!(world.number(back).await, 1);
}

#[tokio::test]
async fn a_task_that_kills_its_own_process_dies_alone_after_the_last_rescue() {
    let world = world_with(json!({ "aborts": true }), json!({})).await;
    enqueue(&world, Uuid::now_v7()).await;
    world.execute("update task set rescues = 2, epoch = 4").await;
    let producer = world.start_producer();
    let mut worker = world.start_worker("w1", &[]);
    eventually("it is dead", async || {
        (world.number("select count(*) from dead_task where reason = 'lost' and rescues = 3").await == 1)
            .then_some(())
    })
    .await;
    // The rescues before cost it their workers; these two cost only its own processes.
    assert_eq!(outcomes(&world).await, "lost lost");
    assert!(worker.exit().unwrap().is_none(), "the worker died with it");
    worker.stop(std::time::Duration::from_secs(30)).await.unwrap();
    world.stop(producer).await;
}
