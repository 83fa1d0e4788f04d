//! What goes wrong is said, and not tried again where that makes no sense.

use harness::World;
use serde_json::{Value, json};

async fn backup(world: &World) -> Value {
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait", "--json"]).await;
    let result = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    world.wait_until_idle().await;
    world.stop(worker).await;
    world.stop(producer).await;
    result
}

async fn world_with(target: &Value) -> World {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let target = world.target("disk-a", target);
    world.apply(&json!({ "targets": [target], "jobs": [world.files_job("docs", &["disk-a"])] })).await;
    world
}

async fn assert_failed_once(world: &World, result: &Value, reason: &str) {
    assert_eq!(result["state"], "dead", "{result}");
    assert!(result["error"].as_str().unwrap().contains(reason), "{result}");
    assert_eq!(world.number("select count(*) from execution").await, 1);
    assert_eq!(world.text("select outcome from execution").await.as_deref(), Some("failed"));
    assert_eq!(world.number("select attempts::bigint from dead_task").await, 1);
}

#[tokio::test]
async fn a_wrong_password_fails_with_that_reason_and_is_not_tried_again() {
    let world = world_with(&json!({})).await;
    assert_eq!(backup(&world).await["outcome"], "success");
    world.execute("delete from execution").await;
    world.write("password", "wrong horse\n");
    let result = backup(&world).await;
    assert_failed_once(&world, &result, "wrong password").await;
}

#[tokio::test]
async fn a_missing_target_path_fails_with_that_reason_and_is_not_tried_again() {
    let world = world_with(&json!({ "repository": "/nonexistent/mount/repository" })).await;
    let result = backup(&world).await;
    assert_failed_once(&world, &result, "/nonexistent/mount").await;
}

#[tokio::test]
async fn a_repository_that_is_gone_is_never_created_a_second_time() {
    let world = world_with(&json!({})).await;
    assert_eq!(backup(&world).await["outcome"], "success");
    world.execute("delete from execution").await;
    std::fs::rename(world.path("repositories/disk-a"), world.path("elsewhere")).unwrap();
    let result = backup(&world).await;
    assert_failed_once(&world, &result, "gone").await;
    assert!(!world.path("repositories/disk-a").exists());
}

#[tokio::test]
async fn a_missing_password_file_is_named() {
    let world = world_with(&json!({ "password": { "file": "/nonexistent/key" } })).await;
    let result = backup(&world).await;
    assert_failed_once(&world, &result, "/nonexistent/key").await;
}

#[tokio::test]
async fn a_missing_source_path_is_named() {
    let world = world_with(&json!({})).await;
    std::fs::remove_dir_all(world.path("source")).unwrap();
    let result = backup(&world).await;
    assert_failed_once(&world, &result, world.path("source").to_str().unwrap()).await;
}

#[tokio::test]
async fn passwords_are_neither_in_the_database_nor_in_the_log() {
    let world = world_with(&json!({})).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_LOG", "trace")]);
    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    world.wait_until_idle().await;
    assert!(!worker.log().contains("correct horse"));
    for table in ["target", "job", "execution", "task", "lease", "known_id", "restore_point", "evidence"] {
        let found = format!("select count(*) from {table} t where t::text like '%correct horse%'");
        assert_eq!(world.number(&found).await, 0, "{table}");
    }
    world.stop(worker).await;
    world.stop(producer).await;
}
