//! The load generator, briefly: what it counts must be right. How fast anything was is for no test to judge.

use harness::{Run, World};
use serde_json::Value;

/// Runs a scenario on the world's own servers.
async fn load(world: &World, arguments: &[&str]) -> Run {
    let urls = ["--database-url", world.database_url(), "--amqp-url", &world.broker.url];
    world.run("loadtest", arguments.iter().copied().chain(urls)).await
}

/// As [`load`], to a good end; returns the figures for scripts.
async fn figures(world: &World, arguments: &[&str]) -> Value {
    let file = world.path("figures.json");
    let run = load(world, &[arguments, &["--json", file.to_str().unwrap()]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("lost or doubled"), "{run:?}");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Each task that was asked for has succeeded once, and nothing is left.
async fn check_counts(world: &World, tasks: i64) {
    let succeeded =
        "select count(distinct task_id) from execution where kind = 'probe' and outcome = 'success'";
    assert_eq!(world.number(succeeded).await, tasks);
    assert_eq!(world.number("select count(*) from execution").await, tasks);
    assert_eq!(world.number("select count(*) from known_id").await, tasks);
    let left = "select (select count(*) from task) + (select count(*) from lease) + (select count(*) from dead_task)";
    assert_eq!(world.number(left).await, 0);
    assert_eq!(world.number("select count(*) from worker").await, 0, "a worker did not stop softly");
    world.check_invariants().await;
}

#[tokio::test]
async fn throughput_loses_and_doubles_nothing_and_its_floor_writes_the_same_rows() {
    let world = World::new().await;
    let figures = figures(&world, &["throughput", "--tasks", "2000", "--runs", "1", "--slots", "100"]).await;
    assert_eq!(figures["scenario"], "throughput");
    assert_eq!(figures["tasks"], 2000);
    assert_eq!(figures["runs"].as_array().unwrap().len(), 1);
    for figure in ["tasks_per_second", "floor_per_second", "ratio"] {
        assert!(figures[figure].is_f64() && figures["runs"][0][figure].is_f64(), "{figure}: {figures}");
    }
    // As many to warm up.
    check_counts(&world, 2 * 2000).await;
}

#[tokio::test]
async fn latency_sees_each_task_start_and_its_commit() {
    let world = World::new().await;
    let arguments = ["latency", "--rate", "200", "--seconds", "2", "--runs", "1", "--slots", "100"];
    let figures = figures(&world, &arguments).await;
    assert_eq!(figures["scenario"], "latency");
    assert_eq!((&figures["rate"], &figures["tasks"]), (&200.into(), &400.into()));
    assert_eq!(figures["runs"].as_array().unwrap().len(), 1);
    for part in ["pickup", "commit"] {
        assert_eq!(figures["all"][part]["count"], 400, "{figures}");
        for figure in ["p50_ms", "p99_ms", "max_ms"] {
            assert!(figures[part][figure].is_f64(), "{part}, {figure}: {figures}");
        }
    }
    // Each of 1,000 jobs once, and as many as in the run, to warm up.
    check_counts(&world, 1000 + 2 * 400).await;
}

#[tokio::test]
async fn a_scenario_that_does_not_exist_is_bad_input() {
    let world = World::new().await;
    let run = load(&world, &["nonsense"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("'nonsense'"), "{run:?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_by_its_option_and_without_its_password() {
    let world = World::new().await;
    let (no_database, no_broker) = ("postgres://me:secret@127.0.0.1:1/none", "amqp://me:secret@127.0.0.1:1");
    for (database, broker, named) in [
        (no_database, world.broker.url.as_str(), "--database-url"),
        (world.database_url(), no_broker, "--amqp-url"),
    ] {
        let run = world.run("loadtest", ["latency", "--database-url", database, "--amqp-url", broker]).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(named) && !run.stderr.contains("secret"), "{run:?}");
    }
}
