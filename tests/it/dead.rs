//! Dead tasks and dead letters: people find them, look at them, do them again or drop them; nothing else does.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use harness::{Run, World, eventually};
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use serde_json::{Value, json};
use shared::{clock, topology};
use uuid::Uuid;

/// A world with the active jobs `docs` and `mail`, and `idle`, which takes no tasks.
pub(crate) async fn world_with_jobs() -> World {
    let world = World::new().await;
    let job = |name: &str| world.simulated_job(name, &["disk-a"], &json!({}));
    let mut idle = job("idle");
    idle["active"] = json!(false);
    let jobs = json!([job("docs"), job("mail"), idle]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

/// A dead task that died so many hours ago.
pub(crate) async fn bury(world: &World, kind: &str, job: &str, reason: &str, hours: u32) -> String {
    let id = Uuid::now_v7();
    world
        .execute(&format!(
            "insert into known_id (id) values ('{id}');
             insert into dead_task (id, kind, priority, job_id, params, requested_by, enqueued_at, attempts, rescues, \
                 reason, last_error, died_at)
             select '{id}', '{kind}', 'high', id, '{{\"target\": \"disk-a\", \"level\": \"read\"}}', 'erp', \
                 now() - interval '9 days', 5, 1, '{reason}', 'the disk is on fire', now() - interval '{hours} hours'
             from job where name = '{job}'"
        ))
        .await;
    id.to_string()
}

/// Headers that are larger than a worker's frames, and so end its connection.
pub(crate) fn large_headers() -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert("baggage".into(), AMQPValue::LongString("x".repeat(40_000).into()));
    headers
}

/// A letter as a worker would write it; returns its id.
async fn post(channel: &Channel, body: &[u8], reason: &str, hours: i64) -> String {
    let id = Uuid::now_v7().to_string();
    let mut headers = FieldTable::default();
    for (name, value) in [
        (topology::REASON_HEADER, reason),
        (topology::DETAIL_HEADER, "for the test"),
        (topology::QUEUE_HEADER, "holdfast.backup.normal"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let died = (clock::now() - TimeDelta::hours(hours)).timestamp();
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id.as_str().into())
        .with_timestamp(u64::try_from(died).unwrap())
        .with_headers(headers);
    publish(channel, body, properties).await;
    id
}

async fn publish(channel: &Channel, body: &[u8], properties: BasicProperties) {
    let (exchange, options) = (topology::DEAD_EXCHANGE.into(), BasicPublishOptions::default());
    let confirm = channel.basic_publish(exchange, "".into(), options, body, properties).await.unwrap();
    assert!(confirm.await.unwrap().is_ack());
}

pub(crate) fn backup_of(job: &str) -> (Uuid, Vec<u8>) {
    let id = Uuid::now_v7();
    (id, json!({ "version": 1, "id": id, "kind": "backup", "job": job }).to_string().into())
}

async fn list(world: &World, arguments: &[&str]) -> Value {
    world.producer(&[&["dead", "list", "--json"], arguments].concat()).await.json()
}

fn ids(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

fn assert_says(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, code, "{run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in {run:?}");
    }
}

#[tokio::test]
async fn dead_tasks_are_found_by_kind_job_reason_and_age() {
    let world = world_with_jobs().await;
    let old = bury(&world, "backup", "docs", "failed", 50).await;
    let lost = bury(&world, "verify", "docs", "lost", 5).await;
    let new = bury(&world, "verify", "mail", "timed_out", 0).await;
    let cases: [(&[&str], &[&str]); 8] = [
        (&[], &[&new, &lost, &old]),
        (&["--kind", "verify"], &[&new, &lost]),
        (&["--job", "docs"], &[&lost, &old]),
        (&["--reason", "failed"], &[&old]),
        (&["--older-than", "1h"], &[&lost, &old]),
        (&["--newer-than", "2d"], &[&new, &lost]),
        (&["--job", "docs", "--older-than", "1h", "--newer-than", "1d"], &[&lost]),
        (&["--job", "nobody"], &[]),
    ];
    for (arguments, expected) in cases {
        assert_eq!(ids(&list(&world, arguments).await["tasks"]), expected, "{arguments:?}");
    }
    let run = world.producer(&["dead", "list"]).await;
    assert_says(&run, 0, &[&old, "the disk is on fire", "2d 2h ago", "timed_out", "dead letters: none"]);
    let run = world.producer(&["dead", "list", "--limit", "1"]).await;
    assert_says(&run, 0, &[&new, "there are more"]);
    assert!(!run.stdout.contains(&old), "{run:?}");
}

#[tokio::test]
async fn a_dead_task_is_shown_with_its_params_and_the_error_of_every_attempt() {
    let world = world_with_jobs().await;
    let id = bury(&world, "verify", "docs", "failed", 1).await;
    for (attempt, outcome, error) in [(1, "lost", "not heard of"), (2, "failed", "sector 7 is unreadable")] {
        world
            .execute(&format!(
                "insert into execution (task_id, epoch, attempt, kind, job_id, outcome, requested_by, enqueued_at, \
                     started_at, finished_at, seconds, error)
                 select '{id}', {attempt}, {attempt}, 'verify', id, '{outcome}', 'erp', now(), now(), \
                     now() + interval '{attempt} seconds', 3, '{error}'
                 from job where name = 'docs'"
            ))
            .await;
    }
    let run = world.producer(&["dead", "show", &id]).await;
    let words =
        ["open", "verify.high", "docs", "erp", "\"level\": \"read\"", "not heard of", "sector 7", "fire"];
    assert_says(&run, 0, &words);
    let shown = world.producer(&["dead", "show", &id, "--json"]).await.json();
    assert_eq!(shown["state"], "dead");
    assert_eq!(shown["params"], json!({ "target": "disk-a", "level": "read" }));
    let errors: Vec<_> = shown["executions"].as_array().unwrap().iter().map(|e| e["error"].clone()).collect();
    assert_eq!(errors, ["not heard of", "sector 7 is unreadable"]);
    assert_eq!(world.producer(&["dead", "show", &Uuid::now_v7().to_string()]).await.code, 2);
}

#[tokio::test]
async fn a_replay_is_a_new_task_that_can_be_asked_for_once() {
    let world = world_with_jobs().await;
    let dead = bury(&world, "verify", "docs", "failed", 1).await;
    let run = world.producer(&["dead", "replay", &dead]).await;
    assert_says(&run, 0, &["a dead task was replayed"]);
    let line = run.stdout.trim().to_owned();
    let new = line.strip_prefix(&format!("{dead} replayed as ")).unwrap_or_else(|| panic!("{run:?}"));
    assert_ne!(new, dead);
    let row =
        "select concat_ws(' ', id, kind, priority, params ->> 'level', requested_by, attempt) from task";
    assert_eq!(world.text(row).await, Some(format!("{new} verify high read cli 0")));

    let shown = world.producer(&["dead", "show", &dead, "--json"]).await.json();
    assert_eq!(shown["replayed_as"], json!(new));
    assert_eq!((&shown["decision"], &shown["decided_by"]), (&json!("replayed"), &json!("cli")));
    let shown = world.producer(&["tasks", "show", new, "--json"]).await.json();
    assert_eq!((&shown["state"], &shown["replay_of"]), (&json!("waiting"), &json!(dead)));
    assert_says(&world.producer(&["tasks", "show", new]).await, 0, &["replay of", &dead]);

    for deed in ["replay", "drop"] {
        let run = world.producer(&["dead", deed, &dead]).await;
        assert_says(&run, 1, &["it was replayed as", new, "already"]);
    }
    assert_eq!(world.number("select count(*) from task").await, 1);
    assert_eq!(ids(&list(&world, &[]).await["tasks"]), Vec::<&str>::new());
    assert_eq!(ids(&list(&world, &["--all"]).await["tasks"]), [&dead]);
    world.check_invariants().await;
}

#[tokio::test]
async fn a_replayed_task_runs_and_the_dead_one_stays_dead() {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let target = world.target("disk-a", &json!({ "repository": world.path("away/repository") }));
    world.apply(&json!({ "targets": [target], "jobs": [world.files_job("docs", &["disk-a"])] })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait", "--json"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    let dead: Value = serde_json::from_str(&run.stdout).unwrap();
    let dead = dead["id"].as_str().unwrap();

    std::fs::create_dir(world.path("away")).unwrap();
    let run = world.producer(&["dead", "replay", dead]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let new = run.stdout.trim().rsplit(' ').next().unwrap().to_owned();
    let done = format!("select count(*) from execution where task_id = '{new}' and outcome = 'success'");
    eventually("the replay is done", async || (world.number(&done).await == 1).then_some(())).await;
    let shown = world.producer(&["tasks", "show", &new, "--json"]).await.json();
    assert_eq!((&shown["state"], &shown["replay_of"]), (&json!("succeeded"), &json!(dead)));
    let shown = world.producer(&["tasks", "show", dead, "--json"]).await.json();
    assert_eq!((&shown["state"], &shown["replayed_as"]), (&json!("dead"), &json!(new)));
    world.wait_until_idle().await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_task_of_a_job_that_takes_none_is_not_replayed_and_the_others_are() {
    let world = world_with_jobs().await;
    let idle = bury(&world, "backup", "idle", "refused", 1).await;
    let docs = bury(&world, "backup", "docs", "failed", 1).await;
    let run = world.producer(&["dead", "replay", &idle, &docs]).await;
    assert_says(
        &run,
        1,
        &[&format!("{idle} was not replayed"), "idle is not active", &format!("{docs} replayed as")],
    );
    assert_eq!(ids(&list(&world, &[]).await["tasks"]), [&idle]);
}

#[tokio::test]
async fn many_are_decided_about_by_filter_and_only_with_yes() {
    let world = world_with_jobs().await;
    for hours in [1, 2, 30] {
        bury(&world, "backup", "docs", "failed", hours).await;
    }
    let other = bury(&world, "backup", "mail", "failed", 1).await;
    let open = "select count(*) from dead_task where state = 'open'";
    assert_says(&world.producer(&["dead", "drop"]).await, 2, &["say what to drop"]);
    assert_says(&world.producer(&["dead", "drop", "--letters", "--yes"]).await, 2, &["say what to drop"]);
    let both = ["dead", "drop", &other, "--job", "docs"];
    assert_says(&world.producer(&both).await, 2, &["not both"]);
    let run = world.producer(&["dead", "drop", "--job", "docs", "--newer-than", "1d"]).await;
    assert_says(&run, 2, &["2 dead tasks and 0 dead letters match", "nothing was done", "--yes"]);
    // One that does not exist: nothing is done to the other.
    let unknown = ["dead", "drop", &other, "nonsense"];
    assert_says(&world.producer(&unknown).await, 2, &["nonsense"]);
    assert_eq!(world.number(open).await, 4);

    let run = world.producer(&["dead", "drop", "--job", "docs", "--newer-than", "1d", "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.number("select count(*) from dead_task where state = 'dropped'").await, 2);
    let run = world.producer(&["dead", "replay", "--all", "--yes"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.number("select count(*) from dead_task where state = 'replayed'").await, 2);
    assert_eq!(world.number("select count(*) from task").await, 2);
    let run = world.producer(&["dead", "replay", "--all", "--yes"]).await;
    assert_says(&run, 0, &["nothing matches"]);
}

#[tokio::test]
async fn a_dropped_task_stays_on_record() {
    let world = world_with_jobs().await;
    let dead = bury(&world, "backup", "docs", "lost", 1).await;
    let run = world.producer(&["dead", "drop", &dead]).await;
    assert_says(&run, 0, &[&format!("{dead} dropped"), "a dead task was dropped"]);
    assert_says(&world.producer(&["dead", "replay", &dead]).await, 1, &["it was dropped by cli", "already"]);
    let listed = list(&world, &["--all"]).await;
    assert_eq!(
        (ids(&listed["tasks"]), &listed["tasks"][0]["decision"]),
        (vec![dead.as_str()], &json!("dropped"))
    );
    assert_eq!(world.number("select count(*) from task").await, 0);
}

#[tokio::test]
async fn letters_are_found_by_kind_job_reason_and_age_beneath_the_tasks() {
    let world = world_with_jobs().await;
    let task = bury(&world, "backup", "docs", "failed", 1).await;
    let (_connection, channel) = world.broker.channel().await;
    let broken = post(&channel, b"not json", "not_json", 50).await;
    let old = post(&channel, &backup_of("later").1, "unknown_job", 5).await;
    let new = post(&channel, &backup_of("idle").1, "inactive_job", 0).await;
    let cases: [(&[&str], &[&str]); 7] = [
        (&[], &[&new, &old, &broken]),
        (&["--kind", "backup"], &[&new, &old]),
        (&["--job", "later"], &[&old]),
        (&["--reason", "not_json"], &[&broken]),
        (&["--older-than", "1h"], &[&old, &broken]),
        (&["--newer-than", "2d"], &[&new, &old]),
        (&["--tasks"], &[]),
    ];
    for (arguments, expected) in cases {
        assert_eq!(ids(&list(&world, arguments).await["letters"]), expected, "{arguments:?}");
    }
    let only_letters = list(&world, &["--letters"]).await;
    assert_eq!((only_letters["tasks"].clone(), ids(&only_letters["letters"]).len()), (json!([]), 3));
    let run = world.producer(&["dead", "list"]).await;
    assert_says(&run, 0, &["dead tasks", &task, "dead letters", &broken, "for the test", "5h"]);
}

#[tokio::test]
async fn looking_at_letters_ten_times_changes_neither_them_nor_their_number() {
    let world = World::new().await;
    let (connection, channel) = world.broker.channel().await;
    let mut posted = Vec::new();
    for number in 0..100 {
        posted.push(post(&channel, format!("not json {number}").as_bytes(), "not_json", 1).await);
    }
    let expected: BTreeSet<String> = (0..100).map(|number| format!("not json {number}")).collect();
    // A foreign one without id and headers is known by its body.
    publish(&channel, b"\x1b[2J anonymous", BasicProperties::default()).await;
    connection.close(200, "posted".into()).await.unwrap();
    let all = ["--limit", "1000"];
    let first = list(&world, &all).await;
    // Its age cannot be told: it counts as the oldest.
    let anonymous = first["letters"][100]["id"].as_str().unwrap().to_owned();
    posted.reverse();
    posted.push(anonymous.clone());
    for _ in 0..10 {
        let listed = list(&world, &all).await;
        assert_eq!(ids(&listed["letters"]), posted);
        assert_eq!(listed, first);
    }
    for id in [&posted[7], &anonymous] {
        let shown = world.producer(&["dead", "show", id, "--json"]).await.json();
        assert_eq!(shown["id"], json!(id));
    }
    let shown = world.producer(&["dead", "show", &posted[7]]).await;
    assert_says(&shown, 0, &["not json 92", "x-holdfast-reason: not_json", "holdfast.backup.normal"]);
    let shown = world.producer(&["dead", "show", &anonymous]).await;
    assert_says(&shown, 0, &["[2J anonymous"]);
    assert!(!shown.stdout.contains('\u{1b}'), "{shown:?}");
    assert_eq!(world.broker.ready(topology::DEAD_QUEUE).await, 101);
    let letters = world.broker.dead_letters(101).await;
    let (ours, foreign): (Vec<_>, Vec<_>) = letters.iter().partition(|letter| letter.reason() == "not_json");
    let bodies: BTreeSet<&str> = ours.iter().map(|letter| letter.body.as_str()).collect();
    assert_eq!(bodies, expected.iter().map(String::as_str).collect());
    assert_eq!((foreign.len(), foreign[0].body.as_str()), (1, "\u{1b}[2J anonymous"));
}

#[tokio::test]
async fn a_letter_is_queued_under_its_own_id_once_its_job_exists() {
    let world = world_with_jobs().await;
    let (_connection, channel) = world.broker.channel().await;
    let (task, body) = backup_of("later");
    let letter = post(&channel, &body, "unknown_job", 1).await;
    let again = post(&channel, &body, "unknown_job", 1).await;
    let broken = post(&channel, b"not json", "not_json", 1).await;
    let run = world.producer(&["dead", "replay", &letter, &broken]).await;
    assert_says(&run, 1, &["no job is named \"later\"", "producer apply", "the body is not JSON"]);
    assert_eq!(world.broker.ready(topology::DEAD_QUEUE).await, 3);
    assert_eq!(world.number("select count(*) from known_id").await, 0);

    let later = world.simulated_job("later", &["disk-a"], &json!({}));
    world.apply(&json!({ "targets": [], "jobs": [later] })).await;
    let run = world.producer(&["dead", "replay", &letter]).await;
    assert_says(&run, 0, &[&format!("{letter} replayed as {task}"), "a dead letter was replayed"]);
    assert_eq!(world.text("select id::text from task").await, Some(task.to_string()));
    // It would run a second time: the other copy is left to a person.
    let run = world.producer(&["dead", "replay", &again]).await;
    assert_says(&run, 1, &["known already", "dead drop"]);
    let left = list(&world, &[]).await;
    assert_eq!(ids(&left["letters"]), [&broken, &again]);
    assert_eq!(world.number("select count(*) from task").await, 1);
}

#[tokio::test]
async fn a_dropped_letter_is_gone_and_logged_and_the_others_stay() {
    let world = World::new().await;
    let (_connection, channel) = world.broker.channel().await;
    let kept = post(&channel, b"keep me", "not_json", 1).await;
    let gone = post(&channel, b"drop me", "not_json", 1).await;
    let many = post(&channel, b"{}", "missing_field", 1).await;
    let run = world.producer(&["dead", "drop", &gone]).await;
    assert_says(&run, 0, &[&format!("{gone} dropped"), "a dead letter is dropped", "drop me"]);
    assert_eq!(ids(&list(&world, &[]).await["letters"]), [&many, &kept]);
    assert_eq!(world.producer(&["dead", "drop", &gone]).await.code, 2);
    let run = world.producer(&["dead", "drop", "--reason", "missing_field", "--yes"]).await;
    assert_says(&run, 0, &["0 dead tasks and 1 dead letters match", &many]);
    assert_eq!(ids(&list(&world, &[]).await["letters"]), [&kept]);
}

#[tokio::test]
async fn letters_that_somebody_else_reads_are_not_taken_for_absent() {
    let world = World::new().await;
    let (_connection, channel) = world.broker.channel().await;
    post(&channel, b"not json", "not_json", 1).await;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let _other =
        channel.basic_consume(topology::DEAD_QUEUE.into(), "".into(), options, arguments).await.unwrap();
    let run = world.producer(&["dead", "list"]).await;
    assert_says(&run, 1, &["being read by somebody else", "--tasks"]);
    assert_says(&world.producer(&["dead", "list", "--tasks"]).await, 0, &["dead tasks: none"]);
}

#[tokio::test]
async fn a_dead_letter_with_large_headers_is_listed() {
    let world = world_with_jobs().await;
    let (_connection, channel) = world.broker.channel().await;
    publish(&channel, b"not json", BasicProperties::default().with_headers(large_headers())).await;
    assert_eq!(list(&world, &["--letters"]).await["letters"].as_array().unwrap().len(), 1);
}
