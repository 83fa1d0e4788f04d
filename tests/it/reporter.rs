//! What the reporter says agrees with what happened.

use harness::{World, eventually, metrics};
use serde_json::json;

#[tokio::test]
async fn health_readiness_and_metrics_tell_the_truth() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "sim", "--wait"]).await.code, 0);
    world.wait_until_idle().await;
    let (reporter, url) = world.start_reporter().await;
    eventually("the reporter is ready", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    assert!(reqwest::get(format!("{url}/healthz")).await.unwrap().status().is_success());

    // The figures come with the reporter's next looks at the tables, the queues and the workers' own words.
    let metrics = eventually("the metrics have all figures", async || {
        let metrics = metrics(&url).await;
        let counted =
            metrics.get(r#"holdfast_executions_total{kind="verify",outcome="success"}"#) == Some(&3.0);
        let families = [
            r#"holdfast_success_rate{period="day"}"#,
            "holdfast_compliance",
            "holdfast_queue_messages",
            "holdfast_pool_slots",
            "holdfast_batches_total",
            "holdfast_execution_duration_seconds_bucket",
        ];
        let all = families.iter().all(|family| metrics.keys().any(|name| name.starts_with(family)));
        (counted && all).then_some(metrics)
    })
    .await;
    let value = |name: &str| metrics.get(name).unwrap_or_else(|| panic!("{name} is not among {metrics:#?}"));
    let near =
        |name: &str, expected: f64| assert!((value(name) - expected).abs() < 1e-9, "{name}: {}", value(name));
    near(r#"holdfast_executions_total{kind="backup",outcome="success"}"#, 1.0);
    near(r#"holdfast_executions_total{kind="verify",outcome="success"}"#, 3.0);
    near(r#"holdfast_tasks_waiting{kind="backup"}"#, 0.0);
    near(r#"holdfast_pool_slots{kind="backup"}"#, 2.0);
    near(r#"holdfast_queue_messages{queue="holdfast.backup.normal"}"#, 0.0);
    near(r#"holdfast_success_rate{period="day"}"#, 1.0);
    near(r#"holdfast_compliance{job_name="sim",rule="0-errors"}"#, 1.0);
    near(r#"holdfast_execution_duration_seconds_count{kind="backup"}"#, 1.0);

    let status = world.run("reporter", ["status", "--json"]).await;
    assert_eq!(status.code, 0, "{status:?}");
    status.json();
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn an_unknown_job_is_a_usage_error() {
    let world = World::new().await;
    let run = world.run("reporter", ["compliance", "--job", "nobody"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("nobody"), "{run:?}");
}
