//! A broker that takes nothing slows the relay down: queue by queue, and nothing is lost or doubled.

use devstack::{Claim, Options, Service, Stack};
use harness::{Servers, World, eventually, metrics};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

async fn define(world: &World) {
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
}

async fn enqueue(world: &World, kind: &str, params: &Value, tasks: usize) {
    let lines: Vec<String> = (0..tasks)
        .map(|_| json!({ "id": Uuid::now_v7(), "kind": kind, "job": "sim", "params": params }).to_string())
        .collect();
    let file = world.write("tasks.jsonl", lines.join("\n"));
    let run = world.producer(&["enqueue", "--from", file.to_str().unwrap()]).await;
    assert_eq!(run.code, 0, "{run:?}");
}

/// The pauses of a queue, in the order in which the producer told of them, in milliseconds.
fn pauses(producer: &Service, queue: &str) -> Vec<u64> {
    let log = producer.log();
    let failures =
        log.lines().filter(|line| line.contains("ERROR") && line.contains(&format!("queue=\"{queue}\"")));
    let pause = |line: &str| line.split("pause_ms=").nth(1)?.split_whitespace().next()?.parse().ok();
    failures.filter_map(pause).collect()
}

const UNCONFIRMED: &str = "select count(*) from task where confirmed = 0";

#[tokio::test]
async fn a_full_queue_rests_for_longer_and_longer_while_the_others_go_on_and_nothing_is_lost_or_doubled() {
    let world = World::new().await;
    define(&world).await;
    let (_connection, _channel) = world.broker.channel().await;
    let policy = format!("policies/{}/full", world.broker.name());
    let full = json!({ "pattern": "^holdfast.restore.normal$", "apply-to": "queues",
        "definition": { "max-length": 5, "overflow": "reject-publish" } });
    world.broker.manage(Method::PUT, &policy, Some(full)).await;
    enqueue(&world, "restore", &json!({ "into": "again" }), 3_000).await;
    let producer = world.start_producer();
    // Beside it, all the time, each of these at once.
    let mut beside = 0;
    eventually("the full queue rests for as long as it may", async || {
        enqueue(&world, "probe", &json!({ "target": "disk-a" }), 20).await;
        beside += 20;
        eventually("the other queue has them", async || {
            (world.broker.ready("holdfast.probe.normal").await == beside).then_some(())
        })
        .await;
        (pauses(&producer, "holdfast.restore.normal").iter().filter(|pause| **pause == 5_000).count() >= 2)
            .then_some(())
    })
    .await;
    // Some were taken before it was full: from then on the pauses grow.
    let mut pauses = pauses(&producer, "holdfast.restore.normal");
    pauses.dedup();
    assert!(pauses.ends_with(&[500, 1_000, 2_000, 4_000, 5_000]), "{pauses:?}");
    assert!(!producer.log().contains("queue=\"holdfast.probe.normal\" confirmed=0"), "{}", producer.log());
    assert!(!producer.log().contains("the session with the broker ended"), "{}", producer.log());
    // A batch was on its way before the queue was full.
    assert!(world.number(UNCONFIRMED).await > 1_500);
    let (reporter, url) = world.start_reporter().await;
    let measured = eventually("the outbox is measured", async || {
        let measured = metrics(&url).await;
        measured.contains_key(r#"holdfast_outbox_due{kind="restore"}"#).then_some(measured)
    })
    .await;
    assert!(measured[r#"holdfast_outbox_due{kind="restore"}"#] > 1_500.0, "{measured:#?}");
    // It was due before the pauses began, which take twelve seconds until the second of the longest.
    assert!(measured[r#"holdfast_outbox_age_seconds{kind="restore"}"#] > 12.0, "{measured:#?}");
    for idle in [r#"holdfast_outbox_due{kind="probe"}"#, r#"holdfast_outbox_age_seconds{kind="probe"}"#] {
        assert!(measured[idle] < 1e-9, "{measured:#?}");
    }

    world.broker.manage(Method::DELETE, &policy, None).await;
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_RESTORE_SLOTS", "200")]);
    let done = "select count(*) from execution where kind = 'restore' and outcome = 'success'";
    eventually("all have run", async || (world.number(done).await == 3_000).then_some(())).await;
    assert!(producer.log().contains("the broker takes tasks for the queue again"), "{}", producer.log());
    world.wait_until_idle().await;
    eventually("the outbox is empty", async || {
        let measured = metrics(&url).await;
        (measured[r#"holdfast_outbox_due{kind="restore"}"#] < 1e-9).then_some(())
    })
    .await;
    world.check_invariants().await;
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_broker_short_of_memory_stops_the_relay_which_goes_on_when_it_is_over() {
    let directory = tempfile::Builder::new().prefix("holdfast-alarm-").tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let claim = Claim::try_new(&directory.path().join("stack")).unwrap().unwrap();
    let stack = Stack::start_in(claim, Options::default()).await.unwrap();
    let world = World::on(&Servers::of(&stack)).await;
    define(&world).await;
    let producer = world.start_producer();
    enqueue(&world, "restore", &json!({ "into": "again" }), 1).await;
    eventually("the relay publishes", async || {
        (world.broker.ready("holdfast.restore.normal").await == 1).then_some(())
    })
    .await;

    let watermark = async |fraction: &str| {
        stack.rabbitmq.control(&["set_vm_memory_high_watermark", fraction]).await.unwrap();
    };
    watermark("0.00001").await;
    eventually("the alarm is on", async || {
        let alarms = stack.rabbitmq.control(&["eval", "rabbit_alarm:get_alarms()."]).await.unwrap();
        alarms.contains("memory").then_some(())
    })
    .await;
    enqueue(&world, "restore", &json!({ "into": "again" }), 500).await;
    let (reporter, url) = world.start_reporter().await;
    eventually("the relay has tried in vain, and the outbox grows older", async || {
        let age = metrics(&url).await.get(r#"holdfast_outbox_age_seconds{kind="restore"}"#).copied()?;
        (!pauses(&producer, "holdfast.restore.normal").is_empty() && age > 5.0).then_some(())
    })
    .await;
    assert_eq!(pauses(&producer, "holdfast.restore.normal")[0], 500);
    assert_eq!(world.number(UNCONFIRMED).await, 500);
    assert_eq!(world.number("select count(*) from task").await, 501);

    watermark("0.4").await;
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_RESTORE_SLOTS", "50")]);
    let done = "select count(*) from execution where kind = 'restore' and outcome = 'success'";
    eventually("all have run", async || (world.number(done).await == 501).then_some(())).await;
    world.wait_until_idle().await;
    world.check_invariants().await;
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
    drop(world);
    stack.discard().await.unwrap();
}

#[tokio::test]
async fn while_no_producer_runs_the_outbox_grows_and_so_does_its_age() {
    let world = World::new().await;
    define(&world).await;
    enqueue(&world, "backup", &json!({}), 3).await;
    let (later, away) = (
        "2999-01-01T00:00:00Z",
        "update task set run_at = 'infinity', publish_at = 'infinity', waiting_for = 'target:disk-a'",
    );
    world.execute(&format!("{away} where id = (select min(id::text)::uuid from task)")).await;
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "sim", "--not-before", later]).await.code, 0);
    world.execute("update task set run_at = run_at - interval '1 hour' where waiting_for is null and run_at < now()").await;
    let (reporter, url) = world.start_reporter().await;
    let measured = eventually("the outbox is measured", async || {
        let measured = metrics(&url).await;
        measured.contains_key(r#"holdfast_outbox_due{kind="backup"}"#).then_some(measured)
    })
    .await;
    for (name, expected) in [("holdfast_tasks_waiting", 4.0), ("holdfast_outbox_due", 2.0)] {
        let found = measured[&format!(r#"{name}{{kind="backup"}}"#)];
        assert!((found - expected).abs() < 1e-9, "{name}: {found}");
    }
    let age = measured[r#"holdfast_outbox_age_seconds{kind="backup"}"#];
    assert!((3_600.0..3_700.0).contains(&age), "{age}");
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    for name in ["holdfast_outbox_due", "holdfast_outbox_age_seconds", "holdfast_tasks_waiting"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("# HELP {name} "))), "{name} has no help");
    }
    // With time the gauge follows the oldest.
    eventually("the age grows", async || {
        (metrics(&url).await[r#"holdfast_outbox_age_seconds{kind="backup"}"#] > age + 0.5).then_some(())
    })
    .await;
    world.stop(reporter).await;
}
