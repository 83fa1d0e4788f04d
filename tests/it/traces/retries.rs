//! Attempts that follow on each other, tasks that wait in line or run alone, and batches: what is linked to what.

use std::collections::BTreeSet;

use harness::{Collector, World, eventually};
use serde_json::json;
use uuid::Uuid;

use super::{attempts, below, message, named, producer, trace_of, world_with};

#[tokio::test]
async fn an_attempt_is_linked_to_the_one_before_it_in_the_same_trace() {
    let world =
        world_with(&json!({ "failure_rate": 1.0 }), &json!({ "tries": { "backup": { "attempts": 2 } } }))
            .await;
    let collector = Collector::start().await;
    let producer = producer(&world, &collector);
    let worker = world.start_worker("w1", &collector.settings());
    let task = Uuid::now_v7();
    world.broker.publish("backup.normal", &[message(&[task])]).await;
    eventually("it is dead after its second attempt", async || {
        (world.number("select count(*) from dead_task").await == 1).then_some(())
    })
    .await;
    world.stop(worker).await;
    world.stop(producer).await;

    let spans = collector.trace(&trace_of(task));
    let attempts = attempts(&spans, task);
    let [first, second] = attempts[..] else { panic!("{attempts:#?}") };
    assert_eq!((first.parent.as_str(), first.links.len()), ("", 0));
    assert_eq!(second.links, std::slice::from_ref(&first.id));
    for attempt in [first, second] {
        assert_eq!(attempt.error.as_deref(), Some("transient"));
        assert_eq!(below(&spans, attempt, "execute").error.as_deref(), Some("transient"));
    }
    // It came back by way of the producer, which was told where in the trace it belongs.
    let published = named(&spans, "publish holdfast.tasks:backup.normal");
    assert_eq!((published[0].parent.as_str(), second.parent.as_str()), (&*first.id, &*published[0].id));
}

#[tokio::test]
async fn an_attempt_after_a_lost_one_is_linked_to_it() {
    let world = world_with(&json!({ "duration": "10m" }), &json!({})).await;
    let collector = Collector::start().await;
    let producer = producer(&world, &collector);
    let mut first = world.start_worker("w1", &collector.settings());
    let task = Uuid::now_v7();
    world.broker.publish("backup.normal", &[message(&[task])]).await;
    let running = "select count(*) from lease where epoch = 1";
    eventually("it runs", async || (world.number(running).await == 1).then_some(())).await;
    // Its claim is told at once, its attempt never.
    eventually("its claim was exported", async || {
        (!named(&collector.trace(&trace_of(task)), "claim").is_empty()).then_some(())
    })
    .await;
    first.kill().await.unwrap();
    let second = world.start_worker("w2", &collector.settings());
    let again = "select count(*) from lease where rescues = 1";
    eventually("it runs again", async || (world.number(again).await == 1).then_some(())).await;
    assert_eq!(world.producer(&["tasks", "cancel", &task.to_string(), "--wait"]).await.code, 0);
    world.stop(second).await;
    world.stop(producer).await;

    let spans = collector.trace(&trace_of(task));
    let lost = &named(&spans, "claim").into_iter().min_by_key(|span| span.window.0).unwrap().parent;
    let attempts = attempts(&spans, task);
    let [attempt] = attempts[..] else { panic!("{attempts:#?}") };
    assert!(attempt.links.contains(lost), "{attempt:?}");
    assert_eq!((attempt.attribute("holdfast.outcome"), attempt.error.as_deref()), ("cancelled", None));
}

#[tokio::test]
async fn transactions_of_many_tasks_are_spans_that_are_linked_to_their_attempts() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::start().await;
    let slots = [("HOLDFAST_POOLS_BACKUP_SLOTS", "20")];
    let tasks: Vec<Uuid> = (0..20).map(|_| Uuid::now_v7()).collect();
    // They are there before there is a worker, and come to it together.
    world.broker.publish("backup.normal", &[message(&tasks)]).await;
    let worker = world.start_worker("w1", &[&collector.settings()[..], &slots].concat());
    eventually("all are done", async || {
        (world.number("select count(*) from execution").await == 20).then_some(())
    })
    .await;
    world.stop(worker).await;

    let spans = collector.spans();
    let all: BTreeSet<&str> = tasks.iter().map(|task| attempts(&spans, *task)[0].id.as_str()).collect();
    for stage in ["claim", "record"] {
        let batches: Vec<_> = named(&spans, stage)
            .into_iter()
            .filter(|span| span.attributes.contains_key("holdfast.batch.size"))
            .collect();
        let linked: BTreeSet<&str> =
            batches.iter().flat_map(|batch| batch.links.iter().map(String::as_str)).collect();
        assert_eq!(linked, all, "{stage}");
        assert!(batches.iter().any(|batch| batch.links.len() > 1), "{stage}: {batches:#?}");
        assert!(
            batches.iter().all(|batch| batch.parent.is_empty() && batch.trace != trace_of(tasks[0])),
            "{stage}"
        );
        // And each attempt's own part names the transaction that it was in.
        for task in &tasks {
            let part = below(&spans, attempts(&spans, *task)[0], stage);
            assert!(batches.iter().any(|batch| part.links.first() == Some(&batch.id)), "{part:?}");
        }
    }
}

#[tokio::test]
async fn a_task_that_was_called_from_a_line_shows_how_long_it_waited() {
    let world = World::new().await;
    let target = world.target("disk-a", &json!({ "limits": { "concurrency": 1 } }));
    let job = world.simulated_job("sim", &["disk-a"], &json!({ "duration": "500ms" }));
    world.apply(&json!({ "targets": [target], "jobs": [job] })).await;
    let collector = Collector::start().await;
    let tasks = [(); 2].map(|()| Uuid::now_v7());
    world.broker.publish("backup.normal", &[message(&tasks)]).await;
    let worker = world.start_worker("w1", &collector.settings());
    let done = "select count(*) from execution where kind = 'backup'";
    eventually("both are done", async || (world.number(done).await == 2).then_some(())).await;
    world.stop(worker).await;

    let spans = collector.spans();
    let waits = named(&spans, "wait");
    let [wait] = waits[..] else { panic!("{waits:#?}") };
    let task = tasks.into_iter().find(|task| trace_of(*task) == wait.trace).unwrap();
    let attempt = attempts(&spans, task)[0];
    assert_eq!(wait.parent, attempt.id);
    // The other one's half second, but for what it takes to get into the line.
    assert!(wait.window.1 - wait.window.0 > 300_000_000, "{wait:?}");
    assert_eq!(attempt.window.0, wait.window.0);
    // Its delivery ended with its place in the line.
    let admitted = spans.iter().find(|span| span.name == "admit" && span.is_of(task)).unwrap();
    assert_eq!(admitted.attribute("holdfast.outcome"), "not_started");
}

#[tokio::test]
async fn a_task_that_runs_alone_in_its_process_has_one_tree_all_the_same() {
    let world = world_with(&json!({}), &json!({})).await;
    let collector = Collector::start().await;
    let task = Uuid::now_v7();
    let enqueued = world.producer(&["enqueue", "backup", "--job", "sim", "--id", &task.to_string()]).await;
    assert_eq!(enqueued.code, 0, "{enqueued:?}");
    // As if it had lost two workers.
    world.execute("update task set rescues = 2").await;
    let producer = producer(&world, &collector);
    let worker = world.start_worker("w1", &collector.settings());
    let done = format!("select count(*) from execution where task_id = '{task}' and outcome = 'success'");
    eventually("it is done", async || (world.number(&done).await == 1).then_some(())).await;
    assert!(worker.log().contains("runs alone in its process"), "{}", worker.log());
    world.wait_until_idle().await;
    world.stop(worker).await;
    world.stop(producer).await;

    let spans = collector.trace(&trace_of(task));
    let attempts = attempts(&spans, task);
    let [attempt] = attempts[..] else { panic!("{attempts:#?}") };
    for stage in ["admit", "claim", "execute", "record"] {
        let stage = below(&spans, attempt, stage);
        assert!(stage.window.0 >= attempt.window.0 && stage.window.1 <= attempt.window.1, "{stage:?}");
    }
    assert_eq!(attempt.parent, named(&spans, "publish holdfast.tasks:backup.normal")[0].id);
}
