//! The main line: a folder is backed up, copied, verified, restored and judged.

use harness::{World, eventually, noise};
use serde_json::{Value, json};

#[tokio::test]
async fn a_backup_is_copied_verified_at_every_level_and_judged() {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    world.write("source/deep/er/b.bin", vec![7; 100_000]);
    world
        .apply(&json!({
            "targets": [
                world.target("disk-a", &json!({})),
                world.target("nas-b", &json!({ "media": "nas", "site": "branch" })),
            ],
            "jobs": [world.files_job("docs", &["disk-a", "nas-b"])],
        }))
        .await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);

    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait", "--json"]).await;
    assert_eq!(run.json()["outcome"], "success", "{run:?}");
    world.wait_until_idle().await;

    // One backup, one copy, three levels of verification on each of the two targets.
    let executions = world.number("select count(*) from execution").await;
    assert_eq!(executions, 8, "{}", worker.log());
    assert_eq!(world.number("select count(*) from execution where outcome <> 'success'").await, 0);
    assert_eq!(world.number("select count(*) from restore_point").await, 2);
    assert_eq!(world.number("select count(*) from manifest").await, 1);
    let verdicts = world.run("reporter", ["compliance", "--json"]).await;
    assert_eq!(verdicts.code, 1, "a job without an isolated copy does not comply: {verdicts:?}");
    let answers = answers(&serde_json::from_str(&verdicts.stdout).unwrap());
    let expected = [
        ("3-copies", "pass"),
        ("2-media", "pass"),
        ("1-offsite", "pass"),
        ("1-isolated", "fail"),
        ("0-errors", "pass"),
    ];
    assert_eq!(answers, expected.map(|(rule, answer)| (rule.to_owned(), answer.to_owned())));

    let restore = ["enqueue", "restore", "--job", "docs", "--param", "into=again", "--wait"];
    let run = world.producer(&restore).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(std::fs::read_to_string(world.path("restored/again/a.txt")).unwrap(), "alpha");
    assert_eq!(std::fs::read(world.path("restored/again/deep/er/b.bin")).unwrap(), vec![7; 100_000]);
    let run = world
        .run("worker", ["restore", "--job", "docs", "--into", world.path("mine").to_str().unwrap()])
        .await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(std::fs::read_to_string(world.path("mine/a.txt")).unwrap(), "alpha");

    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_second_backup_stores_only_what_changed_and_verifies_only_what_is_due() {
    let world = World::new().await;
    world.write("source/large", noise(4_000_000));
    let targets = json!([world.target("disk-a", &json!({}))]);
    world.apply(&json!({ "targets": targets, "jobs": [world.files_job("docs", &["disk-a"])] })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    for _ in 0..2 {
        let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await;
        assert_eq!(run.code, 0, "{run:?}");
        world.wait_until_idle().await;
    }
    let added = "select bytes_added from restore_point order by created_at desc limit 1";
    assert!(world.number(added).await < 100_000, "the unchanged file was stored again");
    let verifications = |level: &str| {
        format!("select count(*) from execution where kind = 'verify' and detail ->> 'level' = '{level}'")
    };
    assert_eq!(world.number(&verifications("structure")).await, 2);
    assert_eq!(world.number(&verifications("read")).await, 1);
    assert_eq!(world.number(&verifications("restore")).await, 1);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_report_task_stores_a_page_and_its_facts() {
    let world = World::new().await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let run = world.producer(&["enqueue", "report", "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let page = world.run("reporter", ["report"]).await;
    assert_eq!(page.code, 0, "{page:?}");
    assert!(page.stdout.contains("<html"), "{page:?}");
    world.run("reporter", ["report", "--format", "json"]).await.json();
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn simulated_work_leaves_the_same_rows_as_real_work() {
    let world = World::new().await;
    let jobs: Vec<Value> =
        (0..5).map(|n| world.simulated_job(&format!("sim-{n}"), &["disk-a", "nas-b"], &json!({}))).collect();
    world
        .apply(&json!({
            "targets": [world.target("disk-a", &json!({})), world.target("nas-b", &json!({ "media": "nas" }))],
            "jobs": jobs,
        }))
        .await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_VERIFY_SLOTS", "20")]);
    for job in 0..5 {
        let run = world.producer(&["enqueue", "backup", "--job", &format!("sim-{job}")]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }
    eventually("every job has all its executions", async || {
        (world.number("select count(*) from execution").await == 5 * 8).then_some(())
    })
    .await;
    world.wait_until_idle().await;
    assert_eq!(world.number("select count(*) from restore_point").await, 10);
    let holding =
        "select count(*) from verdict where rule in ('3-copies', '2-media', '0-errors') and answer = 'pass'";
    assert_eq!(world.number(holding).await, 15);
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

fn answers(compliance: &Value) -> Vec<(String, String)> {
    let verdicts = compliance["jobs"][0]["verdicts"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    verdicts.iter().map(|verdict| (text(&verdict["rule"]), text(&verdict["answer"]))).collect()
}

#[tokio::test]
async fn several_jobs_may_use_a_new_target_at_once() {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let jobs: Vec<Value> = (0..4).map(|n| world.files_job(&format!("docs-{n}"), &["disk-a"])).collect();
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    for job in 0..4 {
        assert_eq!(world.producer(&["enqueue", "backup", "--job", &format!("docs-{job}")]).await.code, 0);
    }
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "4")]);
    let backups = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
    eventually("each job has its backup", async || (world.number(backups).await == 4).then_some(())).await;
    world.wait_until_idle().await;
    assert_eq!(world.number("select count(*) from execution where outcome <> 'success'").await, 0);
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}
