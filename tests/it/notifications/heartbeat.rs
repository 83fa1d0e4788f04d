//! The dead man's switch: it hears that all is well only while the pipeline works.

use harness::{Receiver, World, eventually};
use serde_json::json;

/// How many pings were kept back.
async fn withheld(url: &str) -> f64 {
    let metrics = harness::metrics(url).await;
    metrics.get(r#"holdfast_heartbeats_total{outcome="withheld"}"#).copied().unwrap_or_default()
}

async fn eventually_pinged(receiver: &Receiver) {
    let before = receiver.received().len();
    eventually("the switch is told", async || (receiver.received().len() > before).then_some(())).await;
}

/// Waits until the reporter says why it says nothing.
async fn eventually_withheld(reporter: &devstack::Service, times: usize, why: &str) {
    let said = format!("trouble=\"{why}");
    eventually(&format!("{why} keeps pings back"), async || {
        (reporter.log().matches(&said).count() == times).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pings_stop_with_the_pipeline_and_go_on_with_it() {
    let receiver = Receiver::start().await;
    let world = World::new().await;
    let url = world.write("url", format!("{}/ping/secret", receiver.url));
    let alive = json!({ "name": "alive", "kind": "heartbeat", "url": { "file": url }, "every": "10s",
        "allow_private": true });
    let job = world.simulated_job("docs", &["disk-a"], &json!({}));
    let targets = [world.target("disk-a", &json!({}))];
    world.apply(&json!({ "targets": targets, "jobs": [job], "channels": [alive] })).await;
    // Ten seconds are the least that users may ask for; a test need not wait for them.
    let often = json!({ "secs": 0, "nanos": 500_000_000 });
    world
        .execute(&format!("update channel set definition = jsonb_set(definition, '{{every}}', '{often}')"))
        .await;
    let (reporter, reporter_url) = world.start_reporter().await;
    eventually_withheld(&reporter, 1, "no producer was heard of").await;
    assert_eq!(receiver.received().len(), 0);

    let producer = world.start_producer();
    eventually_withheld(&reporter, 1, "no worker was heard of").await;
    let worker = world.start_worker("w1", &[]);
    eventually_pinged(&receiver).await;
    assert_eq!(receiver.received()[0].line, "GET /ping/secret");

    world.stop(worker).await;
    eventually_withheld(&reporter, 2, "no worker was heard of").await;
    let worker = world.start_worker("w2", &[]);
    eventually_pinged(&receiver).await;

    // A relay that stands still leaves what is due, also while its producer is heard of.
    producer.pause().unwrap();
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs"]).await.code, 0);
    world.execute("update task set run_at = run_at - interval '10 minutes'").await;
    world.execute("update leader set expires_at = 'infinity' where role = 'scheduler'").await;
    eventually_withheld(&reporter, 1, "a task that is due was not taken by the broker").await;
    let (silent, before) = (receiver.received().len(), withheld(&reporter_url).await);
    eventually("more is kept back", async || (withheld(&reporter_url).await > before + 1.0).then_some(()))
        .await;
    assert_eq!(receiver.received().len(), silent, "nothing is told while it stands still");
    producer.resume().unwrap();
    eventually_pinged(&receiver).await;
    assert!(!reporter.log().contains("/ping/secret"), "{}", reporter.log());
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
}
