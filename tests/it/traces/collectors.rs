//! Collectors that are away or refuse, and what is told to them and in the log.

use std::time::{Duration, Instant};

use harness::{Answer, Collector, World, address, eventually, metrics};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{attempts, message, trace_of, world_with};

const DONE: &str = "select count(*) from execution where outcome = 'success' and kind = 'backup'";

#[tokio::test]
async fn a_dead_collector_stops_nothing_loses_no_task_and_is_told_of_once() {
    let world = world_with(&json!({}), &json!({})).await;
    // Nobody listens there any more.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = format!("http://{address}");
    let settings = [("HOLDFAST_TRACES_ENDPOINT", endpoint.as_str()), ("HOLDFAST_TRACES_SAMPLE", "1")];
    let producer = world.start("producer", "producer", &settings);
    let worker = world.start_worker("w1", &settings);
    let tasks: Vec<Uuid> = (0..100).map(|_| Uuid::now_v7()).collect();
    world.broker.publish("backup.normal", &[message(&tasks)]).await;
    eventually("all are done", async || (world.number(DONE).await == 100).then_some(())).await;
    let said = |log: &str| log.matches("spans of traces cannot be sent").count();
    eventually("the worker says so", async || (said(&worker.log()) > 0).then_some(())).await;
    world.wait_until_idle().await;
    let log = worker.log_path().to_owned();
    // It ends well, and within its time.
    world.stop(worker).await;
    world.stop(producer).await;
    assert_eq!(said(&std::fs::read_to_string(log).unwrap()), 1);
    world.check_invariants().await;
}

#[tokio::test]
async fn what_a_collector_refuses_is_dropped_and_counted() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::answering(&[Answer::Refused]).await;
    let listen = [("HOLDFAST_LISTEN", "127.0.0.1:0")];
    let worker = world.start_worker("w1", &[&collector.settings()[..], &listen].concat());
    let url = address(&worker).await;
    world.broker.publish("backup.normal", &[message(&[Uuid::now_v7()])]).await;
    let dropped = "holdfast_traces_dropped_total{reason=\"refused\"}";
    // The series is there before anything happens.
    assert!(metrics(&url).await.contains_key(dropped));
    eventually("what was refused is counted", async || (metrics(&url).await[dropped] > 0.0).then_some(()))
        .await;
    assert!(metrics(&url).await["holdfast_traces_sent_total"] < 1.0);
    eventually("the task is done", async || (world.number(DONE).await == 1).then_some(())).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn a_collector_gets_the_headers_of_a_file_and_the_log_does_not() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::start().await;
    let file = world.write("headers", "api-key=hunter2,x-team=Back%20up\n");
    let settings =
        [("HOLDFAST_TRACES_HEADERS_FILE", file.to_str().unwrap()), ("HOLDFAST_LOG", "trace,lapin=off")];
    let worker = world.start_worker("w1", &[&collector.settings()[..], &settings].concat());
    world.broker.publish("backup.normal", &[message(&[Uuid::now_v7()])]).await;
    eventually("something was sent", async || (!collector.spans().is_empty()).then_some(())).await;
    let headers = &collector.headers()[0];
    assert_eq!(headers["api-key"], "hunter2");
    assert_eq!(headers["x-team"], "Back up");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert!(!worker.log().contains("hunter2"));
    world.stop(worker).await;
}

#[tokio::test]
async fn lines_of_a_traced_task_say_its_trace_and_lines_of_another_do_not() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::start().await;
    let json_lines = [("HOLDFAST_LOG_FORMAT", "json")];
    let worker = world.start_worker("w1", &[&collector.settings()[..], &json_lines].concat());
    let [traced, not_traced] = [(); 2].map(|()| Uuid::now_v7());
    world.broker.publish("backup.normal", &[message(&[traced])]).await;
    let unsampled = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")];
    world.broker.publish_with("backup.normal", &unsampled, &[message(&[not_traced])]).await;
    let line = |task: Uuid| {
        let lines = worker.log();
        let done = |line: &&str| line.contains(r#""message":"done""#) && line.contains(&task.to_string());
        lines.lines().find(done).map(|line| serde_json::from_str::<Value>(line).unwrap())
    };
    let of_traced = eventually("the one is told of", async || line(traced)).await;
    let of_other = eventually("the other is told of", async || line(not_traced)).await;
    world.stop(worker).await;
    let spans = collector.spans();
    assert_eq!(of_traced["trace_id"], trace_of(traced));
    assert_eq!(of_traced["span_id"], attempts(&spans, traced)[0].id);
    assert_eq!(of_other.get("trace_id"), None);
}

#[tokio::test]
async fn a_share_of_none_traces_nothing_but_what_others_record() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::start().await;
    let share = [("HOLDFAST_TRACES_SAMPLE", "0")];
    let worker = world.start_worker("w1", &[&collector.settings()[..], &share].concat());
    let [own, recorded] = [(); 2].map(|()| Uuid::now_v7());
    world.broker.publish("backup.normal", &[message(&[own])]).await;
    let parent = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    world.broker.publish_with("backup.normal", &parent, &[message(&[recorded])]).await;
    eventually("both are done", async || (world.number(DONE).await == 2).then_some(())).await;
    world.stop(worker).await;
    let spans = collector.spans();
    assert!(collector.trace(&trace_of(own)).is_empty());
    assert_eq!(attempts(&spans, recorded).len(), 1);
}

#[tokio::test]
async fn a_producer_and_a_worker_that_do_not_trace_pass_on_what_came() {
    let world = World::new().await;
    let job = world.simulated_job("sim", &["disk-a", "disk-b"], &json!({}));
    let targets = ["disk-a", "disk-b"].map(|name| world.target(name, &json!({})));
    world.apply(&json!({ "targets": targets, "jobs": [job] })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let named = [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=words"),
    ];
    world.broker.publish_with("backup.normal", &named, &[message(&[Uuid::now_v7()])]).await;
    // The copy is what the backup causes.
    let both = "select count(distinct kind) from execution
         where traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' and tracestate = 'vendor=words'";
    eventually("both know their trace", async || (world.number(both).await == 2).then_some(())).await;
    world.wait_until_idle().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_a_busy_collector_does_not_take_at_first_is_sent_again_after_a_rest() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::answering(&[Answer::Busy, Answer::Taken]).await;
    let worker = world.start_worker("w1", &collector.settings());
    let (task, began) = (Uuid::now_v7(), Instant::now());
    world.broker.publish("backup.normal", &[message(&[task])]).await;
    eventually("its trace is there", async || (!attempts(&collector.spans(), task).is_empty()).then_some(()))
        .await;
    // A second for more spans, and another one although it asked for none.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    world.stop(worker).await;
}

#[tokio::test]
async fn what_a_collector_takes_in_part_is_counted_so() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::answering(&[Answer::TakenBut(1), Answer::Taken]).await;
    let listen = [("HOLDFAST_LISTEN", "127.0.0.1:0")];
    let worker = world.start_worker("w1", &[&collector.settings()[..], &listen].concat());
    let url = address(&worker).await;
    world.broker.publish("backup.normal", &[message(&[Uuid::now_v7()])]).await;
    let measured = eventually("something was sent", async || {
        let measured = metrics(&url).await;
        (measured["holdfast_traces_sent_total"] > 0.0).then_some(measured)
    })
    .await;
    assert!((measured["holdfast_traces_dropped_total{reason=\"refused\"}"] - 1.0).abs() < 0.5);
    assert!(worker.log().contains("too many"), "{}", worker.log());
    world.stop(worker).await;
}

#[tokio::test]
async fn a_collector_that_hears_and_never_answers_takes_neither_memory_nor_the_end() {
    let world = world_with(&json!({}), &json!({})).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut heard = JoinSet::new();
    heard.spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.unwrap());
        }
    });
    let settings = [
        ("HOLDFAST_TRACES_ENDPOINT", endpoint.as_str()),
        ("HOLDFAST_TRACES_SAMPLE", "1"),
        ("HOLDFAST_LISTEN", "127.0.0.1:0"),
    ];
    let mut worker = world.start_worker("w1", &settings);
    let url = address(&worker).await;
    // More than there is room for: each makes five spans.
    let messages: Vec<Vec<u8>> =
        (0..12).map(|_| message(&(0..400).map(|_| Uuid::now_v7()).collect::<Vec<_>>())).collect();
    world.broker.publish("backup.normal", &messages).await;
    eventually("all are done", async || (world.number(DONE).await == 4_800).then_some(())).await;
    let full = "holdfast_traces_dropped_total{reason=\"full\"}";
    eventually("what has no room is counted", async || (metrics(&url).await[full] > 0.0).then_some(())).await;
    // Its request takes ten seconds; it is not waited for.
    let exit = worker.stop(Duration::from_secs(30)).await.unwrap();
    assert!(exit.success(), "{}", worker.log());
    assert!(worker.log().contains("the collector did not take the last spans"), "{}", worker.log());
}
