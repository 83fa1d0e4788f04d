//! Traces that other systems begin: those that are recorded are gone on with, the others are left alone.

use harness::{Collector, eventually};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::{attempts, below, message, named, producer, world_with};
use crate::http::Client;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const STATE: &str = "congo=t61rcWkgMzE";

#[tokio::test]
async fn a_message_with_a_recorded_trace_goes_on_with_it_and_one_with_another_is_not_traced() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::start().await;
    let producer = producer(&world, &collector);
    let worker = world.start_worker("w1", &collector.settings());
    let [recorded, not_recorded] = [(); 2].map(|()| Uuid::now_v7());
    for (flags, task) in [("01", recorded), ("00", not_recorded)] {
        let parent = format!("00-{TRACE}-{SPAN}-{flags}");
        let headers = [("traceparent", parent.as_str()), ("tracestate", STATE)];
        world.broker.publish_with("backup.normal", &headers, &[message(&[task])]).await;
    }
    let done = "select count(*) from execution where kind = 'backup'";
    eventually("both are done", async || (world.number(done).await == 2).then_some(())).await;
    world.wait_until_idle().await;
    world.stop(worker).await;
    world.stop(producer).await;

    let spans = collector.trace(TRACE);
    let attempt = attempts(&spans, recorded)[0];
    assert_eq!((attempt.parent.as_str(), attempt.state.as_str()), (SPAN, STATE));
    // The verification that follows from the backup is below it, by way of the producer.
    let verify = "publish holdfast.tasks:verify.normal";
    let published: Vec<_> =
        named(&spans, verify).into_iter().filter(|span| span.parent == attempt.id).collect();
    assert_eq!(published.len(), 3, "one for each level");
    for published in published {
        let verification = below(&spans, published, "process holdfast.verify.normal");
        let told = (verification.attribute("holdfast.task.kind"), verification.state.as_str());
        assert_eq!(told, ("verify", STATE));
    }

    // All that is traced of tasks is in this trace: nothing of the other one, and nothing of what followed from it.
    let tasks = collector.spans().into_iter().filter(|span| span.attributes.contains_key("holdfast.task.id"));
    for span in tasks {
        assert!(span.trace == TRACE && !span.is_of(not_recorded), "{span:?}");
    }
    let kept =
        format!("select traceparent || ' ' || tracestate from execution where task_id = '{not_recorded}'");
    assert_eq!(world.text(&kept).await, Some(format!("00-{TRACE}-{SPAN}-00 {STATE}")));
}

#[tokio::test]
async fn a_request_with_a_recorded_trace_is_a_span_above_the_tasks_that_it_asks_for() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::start().await;
    let client = Client::with(&world, "operator", &collector.settings()).await;
    let worker = world.start_worker("w1", &collector.settings());
    let id = Uuid::now_v7();
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let body = json!({ "id": id, "kind": "backup", "job": "sim" });
    let answer = client.send_with(Method::POST, "tasks", &[("traceparent", &parent)], Some(&body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // A request of nobody's trace is none of ours either.
    client.send(Method::POST, "tasks", Some(&json!({ "kind": "probe", "job": "nothing" }))).await;
    // Whoever has no token is turned away without a span, whatever trace is named.
    let stranger = reqwest::Client::new().post(format!("{}/api/v1/tasks", client.url));
    let answer = stranger.header("traceparent", &parent).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    world.wait_until_idle().await;
    world.stop(worker).await;
    client.stop(&world).await;

    let spans = collector.trace(TRACE);
    let requests: Vec<_> = collector.spans().into_iter().filter(|span| span.kind == 2).collect();
    let [request] = &requests[..] else { panic!("{requests:#?}") };
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, SPAN));
    assert_eq!(
        (request.name.as_str(), request.attribute("http.response.status_code")),
        ("POST /api/v1/tasks", "201")
    );
    let published = below(&spans, request, "publish holdfast.tasks:backup.normal");
    assert!(below(&spans, published, "process holdfast.backup.normal").is_of(id));
}
