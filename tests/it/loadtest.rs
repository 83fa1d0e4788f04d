//! The load generator, briefly: what it counts must be right. How fast anything was is for no test to judge.

use std::process::Stdio;

use harness::{Run, World, eventually};
use serde_json::Value;

/// Runs a scenario on the world's own servers.
async fn load(world: &World, arguments: &[&str]) -> Run {
    let urls = ["--database-url", world.database_url(), "--amqp-url", &world.broker.url];
    world.run("loadtest", arguments.iter().copied().chain(urls)).await
}

/// As [`load`], to a good end; returns what it says and the figures for scripts.
async fn measured(world: &World, arguments: &[&str]) -> (Run, Value) {
    let file = world.path("figures.json");
    let run = load(world, &[arguments, &["--json", file.to_str().unwrap()]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    let figures = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    (run, figures)
}

/// As [`measured`], where tasks were loaded.
async fn figures(world: &World, arguments: &[&str]) -> Value {
    let (run, figures) = measured(world, arguments).await;
    assert!(run.stdout.contains("lost or doubled"), "{run:?}");
    figures
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
async fn rollups_are_made_of_each_attempt_once() {
    let world = World::new().await;
    let arguments = ["rollups", "--executions", "3000", "--more", "500", "--runs", "1"];
    let figures = figures(&world, &arguments).await;
    assert_eq!((&figures["scenario"], &figures["executions"]), (&"rollups".into(), &3000.into()));
    for figure in ["backlog_seconds", "peak_mib"] {
        assert!(figures[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {figures}");
    }
}

/// The arguments of a small history, and a short time.
const SMALL: [&str; 7] = ["http", "--jobs", "120", "--executions", "600", "--seconds", "2"];

#[tokio::test]
async fn each_page_of_the_mix_is_answered_and_counted() {
    let world = World::new().await;
    let (run, figures) = measured(&world, &[&SMALL[..], &["--rate", "150"]].concat()).await;
    assert_eq!((&figures["scenario"], &figures["all"]["requests"]), (&"http".into(), &300.into()));
    assert_eq!((&figures["all"]["failed"], &figures["connections"]), (&0.into(), &50.into()), "{figures}");
    let pages = figures["pages"].as_object().unwrap();
    assert_eq!(pages.len(), 21);
    let requests = |page: &Value| page["requests"].as_u64().unwrap();
    assert_eq!(pages.values().map(requests).sum::<u64>(), 300);
    for page in ["summary", "executions of a job", "open alerts", "changes"] {
        assert!(run.stdout.contains(page), "{page}: {run:?}");
    }
    let hit_rate = figures["hit_rate"].as_f64().unwrap();
    assert!(hit_rate > 0.0 && hit_rate <= 1.0, "{figures}");
    assert!(figures["statements_p95_ms"].as_f64().unwrap() > 0.0, "{figures}");
    assert_eq!(figures["bars"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_storm_counts_what_is_refused_and_whether_health_is_answered_meanwhile() {
    let world = World::new().await;
    let storm = ["--storm", "--pace", "60", "--rate", "20", "--connections", "6"];
    let (_, figures) = measured(&world, &[&SMALL[..], &storm].concat()).await;
    assert_eq!(figures["scenario"], "http-storm");
    let refused = figures["refused"].as_u64().unwrap();
    assert!(refused > 0 && figures["refused_with_retry_after"] == refused, "{figures}");
    for probe in ["healthz", "readyz"] {
        let (requests, answers) = (&figures[probe]["requests"], &figures[probe]["statuses"]["200"]);
        assert!(requests.as_u64().unwrap() >= 15 && requests == answers, "{probe}: {figures}");
    }
    assert_eq!(figures["good"]["failed"], 0, "{figures}");
    assert!(figures["huge"]["bytes"].as_u64().unwrap() > 0, "{figures}");
    assert!(figures["slow"]["taken"].as_u64().unwrap() > 0, "{figures}");
    assert_eq!((&figures["unexpected"], &figures["connections_left"]), (&serde_json::json!([]), &0.into()));
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

#[tokio::test]
async fn what_cannot_be_measured_or_written_is_refused_before_anything_runs() {
    let world = World::new().await;
    let document = world.write("page.md", "<!-- throughput: begin -->\n<!-- throughput: end -->\n");
    let document = document.to_str().unwrap();
    for (arguments, code, said) in [
        (&["throughput", "--slots", "0"][..], 2, "--slots"),
        (&["throughput", "--batch", "0"], 2, "--batch"),
        (&["throughput", "--lanes", "0"], 2, "--lanes"),
        (&["latency", "--slots", "0"], 2, "--slots"),
        (&["http", "--jobs", "0"], 2, "--jobs"),
        (&["http", "--executions", "10"], 2, "--executions"),
        (&["http", "--connections", "0"], 2, "--connections"),
        (&["throughput", "--json", "/nowhere/figures.json"], 1, "--json /nowhere/figures.json"),
        (&["throughput", "--document", document, "--part", "nonsense"], 1, "nonsense"),
        // These figures are not those that the page shows there.
        (&["throughput", "--tasks", "10", "--document", document], 1, "--part"),
    ] {
        let run = load(&world, arguments).await;
        assert!(run.code == code && run.stderr.contains(said), "{arguments:?}: {run:?}");
    }
    assert_eq!(world.number("select count(*) from job").await, 0);
}

#[tokio::test]
async fn a_run_that_is_interrupted_ends_its_programs_and_leaves_nothing_behind() {
    let world = World::new().await;
    let directory = world.path("tmp");
    std::fs::create_dir(&directory).unwrap();
    let mut command = tokio::process::Command::new(devstack::process::binary("loadtest").unwrap());
    command.args(["latency", "--database-url", world.database_url(), "--amqp-url", &world.broker.url]);
    command.env("TMPDIR", &directory).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let mut running = command.spawn().unwrap();
    eventually("its worker is there", async || {
        (world.number("select count(*) from worker").await == 1).then_some(())
    })
    .await;
    let id = rustix::process::Pid::from_raw(running.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let exit = running.wait().await.unwrap();
    assert_eq!(exit.code(), Some(1));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    let sessions = "select count(*) from pg_stat_activity where application_name like 'holdfast %'
         and application_name <> 'holdfast test' and datname = current_database()";
    eventually("its worker is gone", async || (world.number(sessions).await == 0).then_some(())).await;
}
