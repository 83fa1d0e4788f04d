//! Many tasks from a file: the good ones are enqueued, each other line is named with what is wrong.

use std::fmt::Write as _;

use harness::{Run, World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

async fn world() -> World {
    let world = World::new().await;
    let job = |name: &str| world.simulated_job(name, &["disk-a"], &json!({}));
    let mut idle = job("idle");
    idle["active"] = json!(false);
    world
        .apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job("docs"), job("mail"), idle] }))
        .await;
    world
}

async fn enqueue(world: &World, lines: &str, more: &[&str]) -> Run {
    let file = world.write("tasks.jsonl", lines);
    world.producer(&[&["enqueue", "--from", file.to_str().unwrap()], more].concat()).await
}

fn task(id: Uuid, job: &str) -> Value {
    json!({ "id": id, "kind": "backup", "job": job })
}

const WAITING: &str = "select count(*) from task";

#[tokio::test]
async fn each_line_that_is_refused_is_named_with_its_field_and_the_others_are_enqueued() {
    let world = world().await;
    let [good, known, twice] = [(); 3].map(|()| Uuid::now_v7());
    world.execute(&format!("insert into known_id (id) values ('{known}')")).await;
    let mut high = task(Uuid::now_v7(), "docs");
    high["priority"] = json!("high");
    let lines = [
        json!({ "version": 1, "id": good, "kind": "backup", "job": "docs", "requested_by": "erp" })
            .to_string(),
        String::new(),
        "not json".to_owned(),
        task(known, "docs").to_string(),
        task(Uuid::now_v7(), "nobody").to_string(),
        task(Uuid::now_v7(), "idle").to_string(),
        json!({ "id": "7", "kind": "backup", "job": "docs" }).to_string(),
        json!({ "kind": "verify", "job": "docs", "params": { "target": "disk-a" } }).to_string(),
        high.to_string(),
        json!({ "version": 1, "tasks": [task(Uuid::now_v7(), "docs")] }).to_string(),
        task(twice, "mail").to_string(),
        task(twice, "mail").to_string(),
        json!({ "kind": "backup", "job": "mail" }).to_string(),
        format!("{{\"kind\":\"backup\",\"job\":\"docs\",\"note\":\"{}\"}}", "x".repeat(300_000)),
        json!({ "version": 2, "kind": "backup", "job": "mail" }).to_string(),
    ];
    let dry = enqueue(&world, &lines.join("\n"), &["--dry-run"]).await;
    assert_eq!(dry.code, 1, "{dry:?}");
    assert!(dry.stdout.contains("14 lines: 3 would be enqueued, 2 known already, 9 refused"), "{dry:?}");
    assert_eq!(world.number(WAITING).await, 0);

    let run = enqueue(&world, &lines.join("\n"), &[]).await;
    assert_eq!((run.code, &run.stderr), (1, &dry.stderr), "{run:?}");
    let expected = [
        (3, "not JSON"),
        (5, "job: no job is named \"nobody\""),
        (6, "job: \"idle\" is not active"),
        (7, "id: invalid"),
        (8, "params: missing field `level`"),
        (9, "priority: \"docs\" takes no tasks of high priority"),
        (10, "tasks: a line holds one task"),
        (14, "bytes"),
        (15, "version: 2 is unknown"),
    ];
    assert_eq!(run.stderr.lines().count(), expected.len(), "{run:?}");
    for (line, why) in expected {
        let place = format!("tasks.jsonl:{line}: ");
        let said = run.stderr.lines().find_map(|said| Some(said.split_once(&place)?.1));
        assert!(said.is_some_and(|said| said.contains(why)), "line {line}, {why:?}: {run:?}");
    }
    assert!(run.stdout.contains("14 lines: 3 enqueued, 2 known already, 9 refused"), "{run:?}");
    assert!(
        run.stdout.contains("1 have no id of their own")
            && run.stdout.contains("what was not refused is enqueued"),
        "{run:?}"
    );
    let rows = "select string_agg(distinct requested_by || ' ' || kind, ', ' order by requested_by || ' ' || kind) from task";
    assert_eq!(world.text(rows).await.unwrap(), "cli backup, erp backup");
    assert_eq!(world.number(WAITING).await, 3);

    // Again: what has an id runs once.
    let again = enqueue(&world, &lines.join("\n"), &["--json"]).await;
    assert_eq!(again.code, 1, "{again:?}");
    let summary: Value = serde_json::from_str(&again.stdout).unwrap();
    let expected =
        json!({ "lines": 14, "enqueued": 1, "known": 4, "refused": 9, "without_id": 1, "dry_run": false });
    assert_eq!(summary, expected);
    assert_eq!(world.number(WAITING).await, 4);
    world.check_invariants().await;
}

#[tokio::test]
async fn a_file_of_thousands_is_enqueued_in_batches_and_runs() {
    let world = world().await;
    let mut lines = String::new();
    for _ in 0..5_000 {
        writeln!(lines, "{}", task(Uuid::now_v7(), "docs")).unwrap();
    }
    let run = enqueue(&world, &lines, &["--json"]).await;
    assert_eq!(
        run.json(),
        json!({ "lines": 5000, "enqueued": 5000, "known": 0, "refused": 0, "without_id": 0, "dry_run": false })
    );
    let transactions = "select count(distinct xmin::text) from task";
    assert_eq!((world.number(WAITING).await, world.number(transactions).await), (5_000, 5));
    let (producer, worker) =
        (world.start_producer(), world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "200")]));
    let done = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
    eventually("all have run", async || (world.number(done).await == 5_000).then_some(())).await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_cannot_be_read_and_what_contradicts_itself_is_bad_input() {
    let world = world().await;
    let run = world.producer(&["enqueue", "--from", "/nowhere/tasks.jsonl"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("/nowhere/tasks.jsonl"), "{run:?}");
    for wrong in
        [&["enqueue"][..], &["enqueue", "--from", "-", "--job", "docs"], &["enqueue", "backup", "--dry-run"]]
    {
        assert_eq!(world.producer(wrong).await.code, 2, "{wrong:?}");
    }
    // Standard input is empty here.
    let run = world.producer(&["enqueue", "--from", "-"]).await;
    assert_eq!(
        (run.code, run.stdout.trim()),
        (0, "0 lines: 0 enqueued, 0 known already, 0 refused"),
        "{run:?}"
    );
}
