//! What definitions take away: it does nothing any more and is in no list; what it left behind stays, and it can come back.

use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::definitions::{apply, changes};

const NOTHING_WAITS: &str = "select (select count(*) from task) + (select count(*) from lease)";

/// Two jobs on two targets, of which one has run once.
async fn world_with_history() -> (World, Value) {
    let world = World::new().await;
    world.write("source/a.txt", "precious");
    let targets = ["disk-a", "nas-b"].map(|name| world.target(name, &json!({})));
    let mut docs = world.files_job("docs", &["disk-a", "nas-b"]);
    docs["schedule"] = json!({ "cron": "0 2 1 1 *" });
    docs["verify"] = json!({ "schedule": { "read": { "cron": "0 5 1 1 *" } } });
    let definitions = json!({
        "targets": targets,
        "jobs": [docs, world.simulated_job("sim", &["disk-a"], &json!({}))],
    });
    world.apply(&definitions).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await.code, 0);
    world.wait_until_idle().await;
    world.stop(worker).await;
    world.stop(producer).await;
    (world, definitions)
}

fn without_docs(definitions: &Value) -> Value {
    let mut fewer = definitions.clone();
    fewer["jobs"].as_array_mut().unwrap().remove(0);
    fewer
}

#[tokio::test]
async fn nothing_is_removed_without_being_asked_for() {
    let (world, definitions) = world_with_history().await;
    let run = apply(&world, &without_docs(&definitions), &[]).await;
    assert_eq!(changes(&run), [""; 0]);
    assert_eq!(world.number("select count(*) from job where removed_at is null").await, 2);
    assert_eq!(world.number("select count(*) from schedule").await, 3);
}

#[tokio::test]
async fn a_removed_job_does_nothing_keeps_its_history_and_comes_back_with_it() {
    let (world, definitions) = world_with_history().await;
    let history = "select concat_ws(' ', (select count(*) from execution where job_id = j.id and outcome = 'success'),
             (select count(*) from restore_point where job_id = j.id), (select count(*) from evidence where job_id = j.id),
             (select chain_length from compliance where job_id = j.id), j.id) from job j where name = 'docs'";
    let before = world.text(history).await.unwrap();
    assert!(before.starts_with(|c: char| c != '0'), "{before}");

    let run = apply(&world, &without_docs(&definitions), &["--prune"]).await;
    assert_eq!(changes(&run), ["jobs docs removed"]);
    assert_eq!(world.text(history).await, Some(before.clone()));
    assert_eq!(world.number("select count(*) from schedule").await, 0);
    // It is in no list, and nothing can be asked of it.
    let export = world.producer(&["export", "--json"]).await.json();
    assert_eq!(export["jobs"].as_array().unwrap().len(), 1);
    let enqueue = world.producer(&["enqueue", "backup", "--job", "docs"]).await;
    assert_eq!(enqueue.code, 2, "{enqueue:?}");
    assert!(enqueue.stderr.contains("no job is named \"docs\""), "{enqueue:?}");
    let compliance = world.run("reporter", ["compliance", "--job", "docs"]).await;
    assert!(compliance.code == 2 && compliance.stderr.contains("no job is named docs"), "{compliance:?}");
    let all = world.run("reporter", ["compliance"]).await;
    assert!(!all.stdout.contains("docs"), "{all:?}");
    // What it left behind can be restored.
    let into = world.path("rescued");
    let restore = ["restore", "--job", "docs", "--target", "nas-b", "--into", into.to_str().unwrap()];
    let restored = world.run("worker", restore).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    let again = apply(&world, &without_docs(&definitions), &["--prune"]).await;
    assert_eq!(changes(&again), [""; 0]);

    let run = apply(&world, &definitions, &[]).await;
    assert_eq!(changes(&run), ["jobs docs added"]);
    assert_eq!(world.text(history).await, Some(before));
    assert_eq!(world.number("select count(*) from schedule").await, 3);
    assert_eq!(world.number("select version::bigint from job where name = 'docs'").await, 3);
    let judged = world.run("reporter", ["compliance", "--job", "docs", "--json"]).await;
    let judged: Value = serde_json::from_str(&judged.stdout).unwrap();
    assert_eq!(judged["jobs"][0]["restore_points"].as_array().unwrap().len(), 2);
    assert_eq!(judged["jobs"][0]["verdicts"].as_array().unwrap().len(), 5);
    world.check_invariants().await;
}

#[tokio::test]
async fn what_waits_for_a_removed_job_is_cancelled_and_counted_and_its_messages_are_no_dead_letters() {
    let (world, definitions) = world_with_history().await;
    let ids = [(); 2].map(|()| Uuid::now_v7().to_string());
    for id in &ids {
        let run = world.producer(&["enqueue", "backup", "--job", "docs", "--id", id]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "sim"]).await.code, 0);
    let file = world.write("fewer.yaml", without_docs(&definitions).to_string());
    let prune = ["apply", "--prune", file.to_str().unwrap()];
    let told =
        "- job docs\n    waiting tasks that are cancelled: 2\n0 added, 0 changed, 1 removed, 3 unchanged\n";
    let dry = world.producer(&[&prune[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.stdout, told, "{dry:?}");
    assert_eq!(world.number("select count(*) from task").await, 3);
    let run = world.producer(&prune).await;
    assert_eq!(run.stdout, told, "{run:?}");
    assert_eq!(world.number("select count(*) from task").await, 1);
    let cancelled = format!(
        "select count(*) from execution where task_id in ('{}', '{}') and outcome = 'cancelled'
             and error like 'cancelled by %: its job was removed'",
        ids[0], ids[1]
    );
    assert_eq!(world.number(&cancelled).await, 2);

    // One that was published before is a stale copy; one that nobody knows is a dead letter.
    let body =
        |id: &str| json!({ "version": 1, "id": id, "kind": "backup", "job": "docs" }).to_string().into();
    let new = Uuid::now_v7().to_string();
    world.broker.publish("backup.normal", &[body(&ids[0]), body(&new)]).await;
    let worker = world.start_worker("w1", &[]);
    let letters = world.broker.dead_letters(1).await;
    assert_eq!(letters[0].reason(), "unknown_job");
    assert!(letters[0].body.contains(&new), "{letters:?}");
    eventually("the messages are settled", async || {
        (world.broker.ready("holdfast.backup.normal").await == 0).then_some(())
    })
    .await;
    assert_eq!(world.broker.ready("holdfast.dead").await, 1);
    assert_eq!(world.number("select count(*) from dead_task").await, 0);
    world.stop(worker).await;
    world.check_invariants().await;
}

#[tokio::test]
async fn what_runs_as_its_job_is_removed_ends_well_and_causes_nothing_more() {
    let world = World::new().await;
    let targets = ["disk-a", "nas-b"].map(|name| world.target(name, &json!({})));
    let jobs = [world.simulated_job("sim", &["disk-a", "nas-b"], &json!({ "duration": "4s" }))];
    let definitions = json!({ "targets": targets, "jobs": jobs });
    world.apply(&definitions).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "sim"]).await.code, 0);
    eventually("it runs", async || (world.number("select count(*) from lease").await == 1).then_some(()))
        .await;
    let run = apply(&world, &json!({}), &["--prune"]).await;
    let told = run.json();
    assert_eq!(told["jobs"][0], json!({ "name": "sim", "change": "removed", "waiting": 0, "running": 1 }));
    eventually("it has ended", async || {
        (world.number("select count(*) from execution where outcome = 'success'").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.number("select count(*) from restore_point").await, 1);
    assert_eq!(world.number("select chain_length from compliance").await, 1);
    assert_eq!(world.number(NOTHING_WAITS).await, 0);
    assert_eq!(world.number("select count(*) from dead_task").await, 0);
    world.stop(worker).await;
    world.stop(producer).await;
    world.check_invariants().await;
}

#[tokio::test]
async fn a_target_is_removed_once_no_job_uses_it_with_its_limit_and_what_waits_for_its_return() {
    let (world, definitions) = world_with_history().await;
    let mut without_nas = definitions.clone();
    without_nas["targets"].as_array_mut().unwrap().remove(1);
    let refused = apply(&world, &without_nas, &["--prune"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    let used = "targets.nas-b: cannot be removed while jobs use it: docs\n";
    assert!(refused.stderr.starts_with(used), "{refused:?}");
    assert_eq!(world.number("select count(*) from target where removed_at is null").await, 2);

    let mut limited = definitions.clone();
    limited["targets"][1]["limits"] = json!({ "concurrency": 1 });
    world.apply(&limited).await;
    world.execute("update target set state = 'detached' where name = 'nas-b'").await;
    world
        .execute(
            "insert into known_id (id) values ('00000000-0000-7000-8000-000000000001');
             insert into task (id, kind, priority, job_id, params, requested_by, enqueued_at, run_at, publish_at, waiting_for)
             select '00000000-0000-7000-8000-000000000001', 'copy', 'normal', id, '{}', 'test', now(), 'infinity',
                 'infinity', 'target:nas-b' from job where name = 'docs'",
        )
        .await;
    without_nas["jobs"][0]["targets"] = json!(["disk-a"]);
    let run = apply(&world, &without_nas, &["--prune"]).await;
    let expected = ["targets nas-b removed", "jobs docs changed", "limits target:nas-b removed"];
    assert_eq!(changes(&run), expected);
    let entry = json!({ "name": "nas-b", "change": "removed", "waiting": 1, "running": 0 });
    assert_eq!(run.json()["targets"][1], entry);
    let error = "select error from execution where task_id = '00000000-0000-7000-8000-000000000001'";
    let error = world.text(error).await.unwrap();
    assert!(error.starts_with("cancelled by ") && error.ends_with(": its target was removed"), "{error}");
    assert_eq!(world.number("select count(*) from task").await, 0);
    assert_eq!(
        world.number("select (select count(*) from limit_setting) + (select count(*) from cap)").await,
        0
    );
    // Its verifications are gone with it, and no command knows it.
    assert_eq!(world.number("select count(*) from schedule where name like '%/nas-b'").await, 0);
    let list = world.producer(&["target", "list", "--json"]).await.json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    for command in
        [&["target", "attach", "nas-b"][..], &["limits", "set", "target:nas-b", "--concurrency", "1"]]
    {
        let run = world.producer(command).await;
        assert!(run.code == 2 && run.stderr.contains("no target is named \"nas-b\""), "{run:?}");
    }

    // It comes back as it was: detached, with the repository that it had.
    let run = apply(&world, &definitions, &[]).await;
    assert_eq!(changes(&run), ["targets nas-b added", "jobs docs changed"]);
    let row = "select concat_ws(' ', state, repository_id is not null, removed_at is null, version) from target where name = 'nas-b'";
    assert_eq!(world.text(row).await.as_deref(), Some("detached t t 3"));
    world.check_invariants().await;
}

#[tokio::test]
async fn limits_and_reports_that_are_not_named_go_and_what_a_person_has_set_stays() {
    let world = World::new().await;
    let jobs = [world.simulated_job("sim", &["disk-a"], &json!({}))];
    let mut definitions = json!({
        "targets": [world.target("disk-a", &json!({}))],
        "jobs": jobs,
        "limits": [{ "owner": "ops", "concurrency": 2 }, { "pool": "backup", "concurrency": 9 }],
        "reports": [{ "name": "daily", "report": "daily", "schedule": { "cron": "55 23 * * *" } }],
    });
    world.apply(&definitions).await;
    let set = world.producer(&["limits", "set", "owner:ops", "--concurrency", "1"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    definitions["limits"] = json!([]);
    definitions.as_object_mut().unwrap().remove("reports");
    let run = apply(&world, &definitions, &["--prune"]).await;
    let expected = ["limits pool:backup removed", "limits owner:ops removed", "reports daily removed"];
    assert_eq!(changes(&run), expected);
    let left = "select string_agg(concat_ws(' ', key, origin), ', ') from limit_setting";
    assert_eq!(world.text(left).await.as_deref(), Some("owner:ops live"));
    assert_eq!(world.text("select string_agg(key, ' ') from cap").await.as_deref(), Some("owner:ops"));
    assert_eq!(world.number("select count(*) from schedule").await, 0);
}
