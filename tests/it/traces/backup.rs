//! A real backup with its copies and verifications: one tree with each stage, and the phases of each child process.

use std::collections::{BTreeMap, BTreeSet};

use harness::{Collector, Seen, World, children, hold_inside_backup};
use rustix::process::{Signal, kill_process};
use serde_json::json;
use uuid::Uuid;

use super::{attempts, below, named, producer, trace_of};

async fn world_with_files() -> World {
    let world = World::new().await;
    for n in 0..20 {
        world.write(&format!("source/{n}"), harness::noise(10_000));
    }
    let targets = [world.target("disk-a", &json!({})), world.target("disk-b", &json!({}))];
    let jobs = json!([world.files_job("docs", &["disk-a", "disk-b"])]);
    world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
    world
}

async fn enqueue(world: &World) -> Uuid {
    let id = Uuid::now_v7();
    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--id", &id.to_string()]).await;
    assert_eq!(run.code, 0, "{run:?}");
    id
}

/// Each span's parent is there, and what one process does one after the other lies within it.
fn assert_is_one_tree(spans: &[Seen]) {
    let by_id: BTreeMap<&str, &Seen> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "two spans have one id");
    let roots: Vec<&Seen> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(roots.len(), 1, "{roots:#?}");
    for span in spans.iter().filter(|span| !span.parent.is_empty()) {
        let parent =
            by_id.get(span.parent.as_str()).unwrap_or_else(|| panic!("{span:?} has no parent there"));
        assert!(span.window.0 >= parent.window.0, "{span:?} begins before {parent:?}");
        // What a task causes, or a message brings about, comes after it.
        if span.kind == 1 {
            assert!(span.window.1 <= parent.window.1, "{span:?} ends after {parent:?}");
        }
    }
}

#[tokio::test]
async fn a_backup_with_its_copies_and_verifications_is_one_tree_with_each_stage_and_phase() {
    let (world, collector) = (world_with_files().await, Collector::start().await);
    let producer = producer(&world, &collector);
    let worker = world.start_worker("w1", &collector.settings());
    let id = enqueue(&world).await;
    world.wait_until_idle().await;
    world.stop(worker).await;
    world.stop(producer).await;

    let spans = collector.trace(&trace_of(id));
    assert_is_one_tree(&spans);
    let published = "publish holdfast.tasks:backup.normal";
    let root = named(&spans, published)[0];
    assert_eq!((root.parent.as_str(), root.kind, root.service.as_str()), ("", 4, "holdfast-producer"));
    assert!(root.is_of(id) && !root.attribute("messaging.message.id").is_empty(), "{root:?}");

    let attempt = below(&spans, root, "process holdfast.backup.normal");
    assert_eq!((attempt.kind, attempt.service.as_str()), (5, "holdfast-worker"));
    for (name, value) in [
        ("messaging.system", "rabbitmq"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "holdfast.tasks:backup.normal:holdfast.backup.normal"),
        ("messaging.rabbitmq.destination.routing_key", "backup.normal"),
        ("messaging.message.id", root.attribute("messaging.message.id")),
        ("holdfast.task.kind", "backup"),
        ("holdfast.job", "docs"),
        ("holdfast.attempt", "1"),
        ("holdfast.outcome", "success"),
    ] {
        assert_eq!(attempt.attribute(name), value, "{name}");
    }
    let stages = ["admit", "claim", "execute", "record"].map(|name| below(&spans, attempt, name));
    assert!(stages.is_sorted_by_key(|stage| stage.window.0), "{stages:#?}");
    let engine = below(&spans, stages[2], "engine backup");
    let phases: BTreeSet<&str> =
        spans.iter().filter(|span| span.parent == engine.id).map(|span| span.name.as_str()).collect();
    assert_eq!(phases, BTreeSet::from(["open", "index", "save", "read back", "manifest"]));

    // Each execution that is on record has its span, and its kind's child processes.
    let executions = "select count(*) from execution";
    let processed = spans.iter().filter(|span| span.name.starts_with("process ")).count();
    assert_eq!(i64::try_from(processed).unwrap(), world.number(executions).await);
    for (operation, phase) in
        [("copy", "copy"), ("verify", "check"), ("verify", "read"), ("verify", "compare")]
    {
        let engines = named(&spans, &format!("engine {operation}"));
        let found = engines
            .iter()
            .any(|engine| spans.iter().any(|span| span.parent == engine.id && span.name == phase));
        assert!(found, "no {operation} has a phase {phase}");
    }
    assert!(spans.iter().all(|span| span.error.is_none()), "{spans:#?}");
    // A path may hold what nobody outside is to know.
    let directory = world.path("").display().to_string();
    let told = spans.iter().flat_map(|span| span.attributes.values().chain([&span.name]));
    for text in told {
        assert!(!text.contains(directory.trim_end_matches('/')) && !text.contains("correct horse"), "{text}");
    }
    world.check_invariants().await;
}

#[tokio::test]
async fn a_child_process_that_is_killed_has_its_span_and_the_phase_that_it_was_in() {
    let (world, collector) = (World::new().await, Collector::start().await);
    world.write("source/large", harness::noise(100 << 20));
    let mut job = world.files_job("docs", &["disk-a"]);
    job["tries"] = json!({ "backup": { "attempts": 1 } });
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job] })).await;
    let producer = producer(&world, &collector);
    let worker = world.start_worker("w1", &collector.settings());
    let id = enqueue(&world).await;
    let (repository, pid) = (world.path("repositories/disk-a"), worker.pid());
    let held = tokio::task::spawn_blocking(move || hold_inside_backup(&repository, pid)).await.unwrap();
    assert!(children(pid).contains(&held));
    kill_process(held, Signal::KILL).unwrap();
    harness::eventually("the task is dead", async || {
        (world.number("select count(*) from dead_task").await == 1).then_some(())
    })
    .await;
    world.stop(worker).await;
    world.stop(producer).await;

    let spans = collector.trace(&trace_of(id));
    assert_is_one_tree(&spans);
    let attempt = attempts(&spans, id)[0];
    assert_eq!(
        (attempt.error.as_deref(), attempt.attribute("holdfast.outcome")),
        (Some("transient"), "failed")
    );
    let execution = below(&spans, attempt, "execute");
    let engine = below(&spans, execution, "engine backup");
    assert_eq!((engine.error.as_deref(), engine.attribute("error.type")), (Some("crashed"), "crashed"));
    assert_eq!(below(&spans, engine, "save").error.as_deref(), Some("crashed"));
    assert_eq!(below(&spans, engine, "index").error, None);
}
