//! Backups that other systems make and report: taken down as their word, and as no more.

use chrono::{SecondsFormat, TimeDelta};
use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// A job `erp` that another system backs up to two targets.
async fn world_with(strict: bool) -> World {
    let world = World::new().await;
    apply(&world, strict).await;
    world
}

async fn apply(world: &World, strict: bool) {
    let vault = json!({ "media": "tape", "site": "vault" });
    let targets = [world.target("nas", &json!({ "media": "nas" })), world.target("vault", &vault)];
    let mut job = world.files_job("erp", &["nas", "vault"]);
    job["source"] = json!({ "kind": "reported", "site": "hq", "failure_domain": "erp-1", "media": "disk" });
    job["strict"] = json!(strict);
    let files = world.files_job("docs", &["nas"]);
    world.apply(&json!({ "targets": targets, "jobs": [job, files] })).await;
}

fn ago(minutes: i64) -> String {
    let time = shared::clock::now() - TimeDelta::minutes(minutes);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A report of a backup that began an hour ago and took half of one.
fn report(target: &str, changes: &Value) -> Value {
    let mut params = json!({
        "target": target, "outcome": "success", "started_at": ago(60), "finished_at": ago(30),
        "bytes": 123_456, "files": 7, "snapshot": "erp full #7",
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        params[key] = value.clone();
    }
    json!({ "version": 1, "id": Uuid::now_v7(), "kind": "record", "job": "erp", "requested_by": "veeam", "params": params })
}

async fn publish(world: &World, messages: &[&Value]) {
    let bodies: Vec<Vec<u8>> = messages.iter().map(|message| message.to_string().into()).collect();
    world.broker.publish("record", &bodies).await;
}

async fn until_noted(world: &World, count: i64) {
    eventually("the reports are noted", async || {
        (world.number("select count(*) from execution where kind = 'record'").await == count).then_some(())
    })
    .await;
}

async fn verdicts(world: &World) -> Vec<(String, String, String)> {
    let client = world.database.client().await.unwrap();
    let rows =
        "select rule, answer, reason from verdict v join job j on j.id = v.job_id where j.name = 'erp'";
    let rows = client.query(rows, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn a_report_is_an_execution_a_restore_point_and_evidence_of_a_class_of_its_own() {
    let world = world_with(false).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let (nas, vault) = (report("nas", &json!({})), report("vault", &json!({})));
    publish(&world, &[&nas, &vault]).await;
    until_noted(&world, 2).await;
    // An id runs once, whatever it says later.
    let mut again = report("nas", &json!({ "bytes": 9 }));
    again["id"] = nas["id"].clone();
    publish(&world, &[&nas, &again]).await;
    eventually("they are acknowledged", async || {
        (world.broker.ready("holdfast.record.normal").await == 0).then_some(())
    })
    .await;

    let started = nas["params"]["started_at"].as_str().unwrap();
    let execution = format!(
        "select count(*) from execution where task_id = '{}' and outcome = 'success' and error is null
             and bytes = 123456 and files = 7 and requested_by = 'veeam' and seconds < 60
             and detail #>> '{{reported,started_at}}' = '{started}' and (detail #>> '{{reported,seconds}}')::float8 between 1799 and 1801",
        nas["id"].as_str().unwrap()
    );
    let detail = "select string_agg(e::text, '; ') from execution e";
    assert_eq!(world.number(&execution).await, 1, "{:?}", world.text(detail).await);
    let point = format!(
        "select count(*) from restore_point r join target t on t.id = r.target_id where reported and t.name = 'nas'
             and snapshot = 'erp full #7' and data_time = '{started}' and bytes = 123456 and files = 7
             and source_errors = 0 and seconds between 1799 and 1801 and manifest_id is null"
    );
    assert_eq!(world.number(&point).await, 1);
    assert_eq!(world.number("select count(*) from restore_point").await, 2);
    assert_eq!(world.number("select count(*) from evidence where kind = 'reported'").await, 2);
    assert_eq!(world.number("select count(*) from evidence").await, 2);
    // Nothing follows from a report.
    world.wait_until_idle().await;
    assert_eq!(world.number("select count(*) from execution").await, 2);

    let answers: Vec<_> =
        verdicts(&world).await.into_iter().map(|(rule, answer, _)| (rule, answer)).collect();
    let expected = [
        ("3-copies", "pass"),
        ("2-media", "pass"),
        ("1-offsite", "pass"),
        ("1-isolated", "fail"),
        ("0-errors", "fail"),
    ];
    assert_eq!(answers, expected.map(|(rule, answer)| (rule.to_owned(), answer.to_owned())));
    let shown = world.run("reporter", ["compliance", "--job", "erp"]).await;
    for said in ["(2 only reported)", "vault (reported)", "nobody verified it"] {
        assert!(shown.stdout.contains(said), "{said}: {shown:?}");
    }

    apply(&world, true).await;
    for (rule, answer, reason) in verdicts(&world).await {
        assert_eq!(answer, "fail", "{rule}: {reason}");
        assert!(reason.contains("not enough under `strict`"), "{rule}: {reason}");
    }
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_failed_elsewhere_counts_as_failed_and_is_not_tried_again_here() {
    let world = world_with(false).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let failed = report("nas", &json!({ "outcome": "failed", "error": "no tape" }));
    let silent = report("vault", &json!({ "outcome": "failed" }));
    let warning =
        report("nas", &json!({ "outcome": "warning", "error": "3 files were open", "snapshot": null }));
    publish(&world, &[&failed, &silent, &warning]).await;
    until_noted(&world, 3).await;
    let said = "select string_agg(outcome || ': ' || error, '; ' order by outcome, error) from execution";
    assert_eq!(
        world.text(said).await.as_deref(),
        Some("failed: no tape; failed: reported as failed, without a reason; warning: 3 files were open")
    );
    let open = "select (select count(*) from task) + (select count(*) from dead_task) + (select count(*) from lease)";
    assert_eq!(world.number(open).await, 0);
    let points = "select count(*) from restore_point where reported and source_errors = 1 and snapshot = ''";
    assert_eq!(world.number(points).await, 1);
    assert_eq!(world.number("select count(*) from restore_point").await, 1);
    let (_, answer, reason) = verdicts(&world).await.remove(0);
    assert_eq!(answer, "fail", "{reason}");
    assert!(
        reason.contains("nas: 1 source entries could not be read; vault: no restore point yet"),
        "{reason}"
    );

    let state = world.producer(&["tasks", "show", failed["id"].as_str().unwrap(), "--json"]).await;
    assert!(state.stdout.contains("no tape"), "{state:?}");
    assert_eq!(world.producer(&["enqueue", "report", "--wait"]).await.code, 0);
    let day = world.run("reporter", ["report", "--format", "json"]).await.json();
    assert!(
        (day["figures"]["success_rate"].as_f64().unwrap() - 1.0 / 3.0).abs() < 0.001,
        "{}",
        day["figures"]
    );
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn each_field_of_a_report_that_is_wrong_is_named_by_its_dead_letter() {
    let world = world_with(false).await;
    let worker = world.start_worker("w1", &[]);
    let bad = [
        (json!({ "target": null }), "target: is missing"),
        (json!({ "target": "../nas" }), "target: \"../nas\" is not a name"),
        (json!({ "outcome": null }), "outcome: is missing"),
        (json!({ "outcome": "lost" }), "outcome: \"lost\" is unknown, use one of: success, warning, failed"),
        (json!({ "started_at": null }), "started_at: is missing"),
        (json!({ "started_at": "monday" }), "started_at: "),
        (json!({ "started_at": "1960-01-01T00:00:00Z" }), "started_at: is before 1970"),
        (
            json!({ "started_at": ago(-60), "finished_at": ago(-90) }),
            "started_at: lies more than 5 minutes ahead",
        ),
        (json!({ "finished_at": null }), "finished_at: is missing"),
        (json!({ "finished_at": 7 }), "finished_at: is not a string"),
        (json!({ "finished_at": ago(61) }), "finished_at: is before started_at"),
        (json!({ "finished_at": ago(-6) }), "finished_at: lies more than 5 minutes ahead"),
        (json!({ "bytes": -1 }), "bytes: is not a whole number from 0"),
        (json!({ "files": "many" }), "files: is not a whole number from 0"),
        (json!({ "snapshot": "x".repeat(201) }), "snapshot: is not 1 to 200 bytes"),
        (json!({ "error": "x".repeat(4001), "outcome": "failed" }), "error: is longer than 4000 bytes"),
        (json!({ "error": "why?" }), "error: a success has none"),
    ];
    let messages: Vec<Value> = bad.iter().map(|(changes, _)| report("nas", changes)).collect();
    publish(&world, &messages.iter().collect::<Vec<_>>()).await;
    let mut letters = world.broker.dead_letters(bad.len()).await;
    for (changes, why) in &bad {
        let says = format!("params: {why}");
        let found = letters.iter().position(|letter| letter.detail().starts_with(&says));
        let letter = letters.remove(found.unwrap_or_else(|| panic!("{changes}: {says} not in {letters:#?}")));
        assert_eq!(letter.reason(), "invalid_field");
    }
    // The pool goes on, and takes what is a little ahead.
    let fine = report("nas", &json!({ "finished_at": ago(-3) }));
    publish(&world, &[&fine]).await;
    until_noted(&world, 1).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn who_backs_a_job_up_decides_which_tasks_it_takes() {
    let world = world_with(false).await;
    let producer = world.start_producer();
    // It waits while the job becomes another system's.
    let mut backup = world.files_job("late", &["nas"]);
    world.apply(&json!({ "targets": [], "jobs": [backup.clone()] })).await;
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "late"]).await.code, 0);
    backup["source"] =
        json!({ "kind": "reported", "site": "hq", "failure_domain": "erp-1", "media": "disk" });
    world.apply(&json!({ "targets": [], "jobs": [backup] })).await;
    let worker = world.start_worker("w1", &[]);
    let why = "kind: \"late\" takes no backup tasks: another system backs it up, and reports that with `record` tasks";
    let died = eventually("it is dead", async || world.text("select last_error from dead_task").await).await;
    assert_eq!(died, why);

    let mut report = report("nas", &json!({}));
    report["job"] = json!("docs");
    publish(&world, &[&report]).await;
    let point = Uuid::now_v7();
    for (kind, params) in [
        ("backup", json!({})),
        ("copy", json!({ "restore_point": point, "target": "nas" })),
        ("verify", json!({ "target": "nas", "level": "read" })),
        ("restore", json!({ "into": "erp" })),
        ("probe", json!({ "target": "nas" })),
        ("forget", json!({ "target": "nas" })),
    ] {
        let message =
            json!({ "version": 1, "id": Uuid::now_v7(), "kind": kind, "job": "erp", "params": params });
        world.broker.publish(kind, &[message.to_string().into()]).await;
    }
    let letters = world.broker.dead_letters(7).await;
    assert!(letters.iter().all(|letter| letter.reason() == "wrong_source"), "{letters:#?}");
    let of_the_report = |letter: &&harness::DeadLetter| letter.detail().contains("takes no record tasks");
    assert_eq!(letters.iter().filter(of_the_report).count(), 1);
    let refused = world.producer(&["enqueue", "backup", "--job", "erp"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("\"erp\" takes no backup tasks"), "{refused:?}");

    let mut elsewhere = self::report("nas", &json!({}));
    elsewhere["params"]["target"] = json!("tape-z");
    publish(&world, &[&elsewhere]).await;
    let dead = format!("select last_error from dead_task where id = '{}'", elsewhere["id"].as_str().unwrap());
    let died = eventually("it is dead", async || world.text(&dead).await).await;
    assert_eq!(died, "params: target: tape-z is none of the job's targets");
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_reported_restore_point_is_refused_by_all_who_would_read_it_and_keeps_no_target() {
    let world = world_with(false).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    publish(&world, &[&report("nas", &json!({})), &report("vault", &json!({}))]).await;
    until_noted(&world, 2).await;
    // Nothing of ours is there that a probe could look for, and a report needs no medium.
    let detached = world.producer(&["target", "detach", "vault", "--timeout", "20s"]).await;
    assert_eq!(detached.code, 0, "{detached:?}");
    publish(&world, &[&report("vault", &json!({}))]).await;
    until_noted(&world, 3).await;

    // From now on Holdfast backs the job up itself.
    let mut job = world.files_job("erp", &["nas", "vault"]);
    job["retention"] = json!({ "last": 1 });
    world.apply(&json!({ "targets": [], "jobs": [job] })).await;
    let point =
        "select r.id::text from restore_point r join target t on t.id = r.target_id where t.name = 'nas'";
    let point = world.text(point).await.unwrap();
    let reported = format!("another system reported the restore point {point}: it cannot be read");
    let named = format!("restore_point={point}");
    for (arguments, why) in [
        (vec!["restore", "--param", &named, "--param", "into=a"], reported.as_str()),
        (vec!["copy", "--param", &named, "--param", "target=nas"], &reported),
        (vec!["restore", "--param", "into=b"], "no restore point of the job can be reached"),
        (
            vec!["restore", "--param", "target=nas", "--param", "into=c"],
            "the job has no restore point on nas yet",
        ),
    ] {
        let arguments = [vec!["enqueue"], arguments, vec!["--job", "erp", "--wait"]].concat();
        let run = world.producer(&arguments).await;
        assert!(run.code == 1 && run.stdout.contains(why), "{arguments:?}: {run:?}");
    }
    let into = world.path("mine");
    let run = world.run("worker", ["restore", "--job", "erp", "--into", into.to_str().unwrap()]).await;
    assert!(run.code == 1 && run.stderr.contains("no restore point of erp is in reach"), "{run:?}");
    // Of these there is none that retention could forget.
    let forget = ["enqueue", "forget", "--job", "erp", "--param", "target=nas", "--wait"];
    assert_eq!(world.producer(&forget).await.code, 0);
    assert_eq!(world.number("select count(*) from restore_point where forgotten_at is null").await, 3);
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}
