//! A worker derives a repository's key from its password once, and uses it only as long as the password would do.

use devstack::Service;
use harness::World;
use serde_json::{Value, json};

/// A folder and the job that backs it up to the first of two targets, each of which has had a backup of its own.
async fn world() -> World {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let targets = ["disk-a", "disk-b"].map(|name| world.target(name, &json!({})));
    let jobs = [world.files_job("docs", &["disk-a"]), world.files_job("other", &["disk-b"])];
    world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
    world
}

async fn backup(world: &World, job: &str) -> Value {
    let run = world.producer(&["enqueue", "backup", "--job", job, "--wait", "--json"]).await;
    world.wait_until_idle().await;
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

/// How often a worker's engines have derived the key of a target's repository.
fn derived(world: &World, worker: &Service, target: &str) -> usize {
    let repository = world.path("repositories").join(target).display().to_string();
    let log = worker.log();
    log.lines()
        .filter(|line| line.contains("derived the repository's key") && line.contains(&repository))
        .count()
}

#[tokio::test]
async fn a_worker_derives_the_key_of_a_repository_once_for_all_its_tasks() {
    let world = world().await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    for job in ["docs", "other", "docs", "docs"] {
        assert_eq!(backup(&world, job).await["outcome"], "success");
    }
    // Creation, backups, and verifications at three levels.
    assert!(world.number("select count(*) from execution where kind = 'verify'").await >= 3);
    assert_eq!(
        ["disk-a", "disk-b"].map(|target| derived(&world, &worker, target)),
        [1, 1],
        "{}",
        worker.log()
    );
    world.stop(worker).await;

    let worker = world.start_worker("w2", &[]);
    assert_eq!(backup(&world, "docs").await["outcome"], "success");
    assert_eq!(derived(&world, &worker, "disk-a"), 1);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_known_key_does_not_help_a_wrong_password() {
    let world = world().await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    assert_eq!(backup(&world, "docs").await["outcome"], "success");
    world.write("password", "wrong horse\n");
    let refused = backup(&world, "docs").await;
    assert_eq!(refused["state"], "dead", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("wrong password for the repository"), "{refused}");
    world.write("password", "correct horse\n");
    assert_eq!(backup(&world, "docs").await["outcome"], "success");
    assert_eq!(derived(&world, &worker, "disk-a"), 2, "{}", worker.log());
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_known_key_is_not_used_for_another_repository_at_the_same_place() {
    let world = world().await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    for job in ["docs", "other"] {
        assert_eq!(backup(&world, job).await["outcome"], "success");
    }
    let [a, b, aside] = ["disk-a", "disk-b", "aside"].map(|name| world.path("repositories").join(name));
    std::fs::rename(&a, &aside).unwrap();
    std::fs::rename(&b, &a).unwrap();
    let refused = backup(&world, "docs").await;
    assert!(
        refused["error"].as_str().unwrap().contains("another repository than the one known"),
        "{refused}"
    );
    assert_eq!(derived(&world, &worker, "disk-a"), 2, "{}", worker.log());

    // The operators decide that it shall be this one.
    world.execute("update target set repository_id = null where name = 'disk-a'").await;
    assert_eq!(backup(&world, "docs").await["outcome"], "success");
    assert_eq!(derived(&world, &worker, "disk-a"), 3, "{}", worker.log());
    world.stop(worker).await;
    world.stop(producer).await;
}
