//! Retention: what a job does not keep is forgotten, and nothing else.

use std::path::PathBuf;

use harness::{World, count_files, eventually, noise};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::restic::{ensure_restic, restic, run};

/// A job `docs` on some targets with a retention.
async fn world_with(targets: &[&str], retention: Value) -> World {
    let world = World::new().await;
    let mut job = world.files_job("docs", targets);
    job["retention"] = retention;
    let targets: Vec<Value> = targets.iter().map(|name| world.target(name, &json!({}))).collect();
    world.apply(&json!({ "targets": targets, "jobs": [job] })).await;
    world
}

/// The content of the source at each backup, from 1.
fn content(version: usize) -> Vec<u8> {
    noise(50_000 + version)
}

/// Backs up other content each time, and waits for the copies and the verification.
async fn back_up(world: &World, times: usize) {
    for version in 1..=times {
        world.write("source/file", content(version));
        let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }
    world.wait_until_idle().await;
}

async fn forget(world: &World, target: &str) -> Value {
    let target = format!("target={target}");
    let arguments = ["enqueue", "forget", "--job", "docs", "--param", &target, "--wait", "--json"];
    world.producer(&arguments).await.json()
}

/// Makes the backups, from the oldest on, and their copies, those of other times.
async fn backdate(world: &World, times: &[&str]) {
    let numbered = "select id, row_number() over (order by data_time) as number from restore_point
         where copied_from is null";
    for (time, number) in times.iter().zip(1..) {
        world
            .execute(&format!(
                "update restore_point set data_time = '{time}' from ({numbered}) n
                     where n.number = {number} and n.id in (restore_point.id, restore_point.copied_from)"
            ))
            .await;
    }
}

async fn kept(world: &World, target: &str) -> String {
    let statement = format!(
        "select coalesce(string_agg(to_char(data_time at time zone 'UTC', 'MM-DD HH24'), ', ' order by data_time), '')
         from restore_point r join target t on t.id = r.target_id where t.name = '{target}' and forgotten_at is null"
    );
    world.text(&statement).await.unwrap()
}

fn repository(world: &World, target: &str) -> PathBuf {
    world.path("repositories").join(target)
}

#[tokio::test]
async fn each_target_keeps_exactly_what_the_retention_says_and_all_of_that_can_be_restored() {
    ensure_restic();
    let retention = json!({ "last": 2, "daily": 4, "timezone": "Europe/Berlin" });
    let world = world_with(&["disk-a", "nas-b"], retention).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_VERIFY_SLOTS", "4")]);
    let times = [
        "2025-03-02 12:00Z",
        "2025-03-05 12:00Z",
        "2025-03-08 10:00Z",
        // In Berlin this is on the next day.
        "2025-03-08 23:30Z",
        "2025-03-10 12:00Z",
        "2025-03-11 09:00Z",
    ];
    back_up(&world, times.len()).await;
    // What comes below is done by tasks that name a restore point.
    backdate(&world, &times).await;
    let evidence = world.number("select count(*) from evidence where kind = 'restore_point'").await;
    let judged = "select count(*) from compliance where evaluated_at > '2001-01-01'";
    world.execute("update compliance set evaluated_at = '2000-01-01'").await;

    let answer = forget(&world, "disk-a").await;
    let detail = &answer["detail"];
    assert_eq!(answer["outcome"], "success", "{answer}");
    assert_eq!([&detail["forgotten"], &detail["kept"]], [2, 4], "{answer}");
    assert!(detail["prune"]["bytes_marked"].as_u64().unwrap() > 100_000, "{answer}");
    assert_eq!(world.number(judged).await, 1, "it was not judged again");
    assert_eq!(kept(&world, "disk-a").await, "03-08 10, 03-08 23, 03-10 12, 03-11 09");
    assert_eq!(world.number("select count(*) from restore_point where forgotten_at is not null").await, 2);
    assert_eq!(count_files(&repository(&world, "disk-a"), "snapshots"), 4);
    // The copies are kept by their own, and with them the manifests of all backups.
    assert_eq!(count_files(&repository(&world, "nas-b"), "snapshots"), times.len());
    assert_eq!(world.number("select count(*) from manifest").await, 6);
    assert_eq!(world.number("select count(*) from evidence where kind = 'restore_point'").await, evidence);

    let oldest = "select id::text from restore_point where forgotten_at is null and copied_from is null
         order by data_time limit 1";
    let oldest = world.text(oldest).await.unwrap();
    let restore = async |point: &str, into: &str| {
        let (point, into) = (format!("restore_point={point}"), format!("into={into}"));
        let arguments =
            ["enqueue", "restore", "--job", "docs", "--param", &point, "--param", &into, "--wait"];
        world.producer(&arguments).await
    };
    let restored = restore(&oldest, "oldest").await;
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(std::fs::read(world.path("restored/oldest/file")).unwrap(), content(3));
    let gone = world.text("select id::text from restore_point where forgotten_at is not null limit 1").await;
    let refused = restore(&gone.unwrap(), "gone").await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stdout.contains("was forgotten at 20"), "{refused:?}");

    assert_eq!(forget(&world, "nas-b").await["detail"]["forgotten"], 2);
    assert_eq!(kept(&world, "nas-b").await, "03-08 10, 03-08 23, 03-10 12, 03-11 09");
    assert_eq!(world.number("select count(*) from manifest").await, 4);
    for target in ["disk-a", "nas-b"] {
        run(restic(&repository(&world, target), &world.path("password")).args(["check", "--read-data"]));
    }
    let again = forget(&world, "disk-a").await;
    assert_eq!([&again["detail"]["forgotten"], &again["detail"]["prune"]], [&json!(0), &Value::Null]);
    for level in ["structure", "read", "restore"] {
        let level = format!("level={level}");
        let verify =
            ["enqueue", "verify", "--job", "docs", "--param", "target=disk-a", "--param", &level, "--wait"];
        assert_eq!(world.producer(&verify).await.code, 0, "{level}");
    }
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_worker_that_is_killed_after_it_removed_snapshots_and_before_it_said_so_is_followed_up() {
    let world = world_with(&["disk-a"], json!({ "last": 1 })).await;
    let producer = world.start_producer();
    let mut first = world.start_worker("w1", &[]);
    back_up(&world, 3).await;

    // Whoever records that restore points are forgotten waits for this.
    let mut client = world.database.client().await.unwrap();
    let barrier = client.transaction().await.unwrap();
    barrier.batch_execute("lock table restore_point in exclusive mode").await.unwrap();
    let enqueue = ["enqueue", "forget", "--job", "docs", "--param", "target=disk-a"];
    assert_eq!(world.producer(&enqueue).await.code, 0);
    eventually("the snapshots are gone and somebody is about to say so", async || {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database()
             and wait_event_type = 'Lock' and query like '%update restore_point%' and pid <> pg_backend_pid()";
        let is_waiting = world.number(waiting).await == 1;
        (is_waiting && count_files(&repository(&world, "disk-a"), "snapshots") == 1).then_some(())
    })
    .await;
    first.kill().await.unwrap();
    barrier.rollback().await.unwrap();
    drop(client);
    assert_eq!(world.number("select count(*) from restore_point where forgotten_at is not null").await, 0);

    let second = world.start_worker("w2", &[]);
    eventually("it is recorded", async || {
        let done = "select count(*) from execution where kind = 'forget' and outcome = 'success'";
        (world.number(done).await == 1).then_some(())
    })
    .await;
    let counted = "select count(*) from execution where kind = 'forget' and (outcome = 'lost'
         or outcome = 'success' and detail ->> 'gone_already' = '2' and detail ->> 'forgotten' = '2')";
    assert_eq!(world.number(counted).await, 2);
    assert_eq!(world.number("select count(*) from restore_point where forgotten_at is not null").await, 2);
    assert_eq!(world.number("select count(*) from manifest").await, 1);
    let restore = ["enqueue", "restore", "--job", "docs", "--param", "into=newest", "--wait"];
    assert_eq!(world.producer(&restore).await.code, 0);
    assert_eq!(std::fs::read(world.path("restored/newest/file")).unwrap(), content(3));
    world.check_invariants().await;
    world.stop(second).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_backup_waits_for_a_repository_that_is_being_rid_of_snapshots_and_the_reverse() {
    let world = world_with(&["disk-a"], json!({ "last": 1 })).await;
    let producer = world.start_producer();
    let forgets = world.start_worker("forgets", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "0")]);
    let backups = world.start_worker("backups", &[("HOLDFAST_POOLS_FORGET_SLOTS", "0")]);
    back_up(&world, 2).await;
    let snapshots = || count_files(&repository(&world, "disk-a"), "snapshots");
    let postponed = async |kind: &str| {
        let waits = format!(
            "select count(*) from task where kind = '{kind}' and attempt = 0 and epoch > 0 and waiting_for is null"
        );
        eventually("it waits for the repository", async || (world.number(&waits).await == 1).then_some(()))
            .await;
    };

    let mut client = world.database.client().await.unwrap();
    let barrier = client.transaction().await.unwrap();
    barrier.batch_execute("lock table restore_point in exclusive mode").await.unwrap();
    let enqueue = ["enqueue", "forget", "--job", "docs", "--param", "target=disk-a"];
    assert_eq!(world.producer(&enqueue).await.code, 0);
    eventually("a snapshot is gone", async || (snapshots() == 1).then_some(())).await;
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs"]).await.code, 0);
    postponed("backup").await;
    assert_eq!(snapshots(), 1);
    barrier.rollback().await.unwrap();
    drop(client);
    world.wait_until_idle().await;
    assert_eq!(snapshots(), 2);

    let hold = "insert into repository_lock (target_id, task_id, epoch, exclusive, expires_at)
         select id, gen_random_uuid(), 1, false, now() + interval '1 hour' from target";
    world.execute(hold).await;
    assert_eq!(world.producer(&enqueue).await.code, 0);
    postponed("forget").await;
    assert_eq!(snapshots(), 2);
    world.execute("delete from repository_lock where epoch = 1 and not exclusive").await;
    world.wait_until_idle().await;
    assert_eq!(snapshots(), 1);
    assert_eq!(world.number("select count(*) from execution where outcome <> 'success'").await, 0);
    world.check_invariants().await;
    world.stop(forgets).await;
    world.stop(backups).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_a_waiting_copy_needs_is_kept_and_a_target_that_is_away_is_waited_for() {
    let world = world_with(&["disk-a", "usb"], json!({ "last": 1 })).await;
    world.execute("update target set state = 'detached' where name = 'usb'").await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    back_up(&world, 3).await;
    let waiting = "select count(*) from task where waiting_for = 'target:usb'";
    assert_eq!(world.number(waiting).await, 3);
    let answer = forget(&world, "disk-a").await;
    assert_eq!([&answer["detail"]["forgotten"], &answer["detail"]["needed_by_tasks"]], [0, 3], "{answer}");

    let enqueue = ["enqueue", "forget", "--job", "docs", "--param", "target=usb"];
    assert_eq!(world.producer(&enqueue).await.code, 0);
    eventually("it waits as well", async || (world.number(waiting).await == 4).then_some(())).await;
    let attached = world.producer(&["target", "attach", "usb"]).await;
    assert_eq!(attached.code, 0, "{attached:?}");
    world.wait_until_idle().await;
    assert_eq!(forget(&world, "disk-a").await["detail"]["forgotten"], 2);
    forget(&world, "usb").await;
    for target in ["disk-a", "usb"] {
        assert_eq!(count_files(&repository(&world, target), "snapshots"), 1, "{target}");
    }
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_snapshot_that_somebody_else_has_taken_away_is_named_and_replaced_by_an_older_one() {
    let world = world_with(&["disk-a"], json!({ "last": 2 })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    back_up(&world, 4).await;
    let newest = "select snapshot from restore_point order by data_time desc limit 1";
    let newest = world.text(newest).await.unwrap();
    std::fs::remove_file(repository(&world, "disk-a").join("snapshots").join(newest)).unwrap();
    let answer = forget(&world, "disk-a").await;
    assert_eq!(answer["outcome"], "warning", "{answer}");
    let detail = &answer["detail"];
    assert_eq!([&detail["forgotten"], &detail["kept"], &detail["missing"]["count"]], [1, 3, 1], "{answer}");
    assert_eq!(count_files(&repository(&world, "disk-a"), "snapshots"), 2);
    let absent = "select facts::jsonb #>> array[t.id::text, 'listing', 'says'] from compliance, target t";
    assert_eq!(world.text(absent).await.as_deref(), Some("false"));
    let report = world.producer(&["enqueue", "report", "--wait"]).await;
    assert_eq!(report.code, 0, "{report:?}");
    let page = world.run("reporter", ["report"]).await;
    assert!(page.stdout.contains("1 restore points are to be kept and are not there"), "{page:?}");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_cannot_be_forgotten_is_refused_with_the_reason() {
    let world = World::new().await;
    let target = world.target("disk-a", &json!({}));
    let mut keeps = world.files_job("keeps", &["disk-a"]);
    keeps["retention"] = json!({ "last": 1 });
    world.apply(&json!({ "targets": [target], "jobs": [world.files_job("docs", &["disk-a"]), keeps] })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let refused = async |job: &str, target: &str, reason: &str| {
        let id = Uuid::now_v7();
        let message =
            json!({ "version": 1, "id": id, "kind": "forget", "job": job, "params": { "target": target } });
        world.broker.publish("forget", &[message.to_string().into()]).await;
        let died = format!("select last_error from dead_task where id = '{id}'");
        let said = eventually("it is dead", async || world.text(&died).await).await;
        assert_eq!(said, reason);
    };
    refused("docs", "disk-a", "the job has no retention: it keeps all its restore points").await;
    refused("keeps", "disk-z", "no target is named disk-z").await;
    // Nothing was ever backed up, and there is no repository.
    let nothing = ["enqueue", "forget", "--job", "keeps", "--param", "target=disk-a", "--wait"];
    assert_eq!(world.producer(&nothing).await.code, 0);
    let without = json!({ "version": 1, "id": Uuid::now_v7(), "kind": "forget", "job": "keeps" });
    world.broker.publish("forget", &[without.to_string().into()]).await;
    let letters = world.broker.dead_letters(1).await;
    assert!(letters[0].detail().contains("missing field `target`"), "{letters:?}");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_retention_with_a_schedule_is_applied_to_each_target_by_itself() {
    let world = World::new().await;
    let with = |retention: Value, targets: &[&str]| {
        let mut job = world.simulated_job("docs", targets, &json!({}));
        job["schedule"] = json!({ "every": "30d" });
        job["retention"] = retention;
        json!({ "targets": targets.iter().map(|name| world.target(name, &json!({}))).collect::<Vec<_>>(), "jobs": [job] })
    };
    let schedules = async || {
        let all = "select coalesce(string_agg(kind || ' ' || name || ' ' || params, ', ' order by kind, name), '') from schedule";
        world.text(all).await.unwrap()
    };
    let retention = json!({ "last": 1, "schedule": { "every": "1s" } });
    world.apply(&with(retention.clone(), &["disk-a", "nas-b"])).await;
    let both =
        r#"backup docs {}, forget docs/disk-a {"target":"disk-a"}, forget docs/nas-b {"target":"nas-b"}"#;
    assert_eq!(schedules().await, both);

    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    for _ in 0..3 {
        assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await.code, 0);
    }
    eventually("one is left on each target", async || {
        let left =
            "select count(*) filter (where forgotten_at is null) = 2 and count(*) = 6 from restore_point";
        let done = format!("select ({left})::integer::bigint");
        (world.number(&done).await == 1).then_some(())
    })
    .await;
    world.apply(&with(retention, &["disk-a"])).await;
    assert_eq!(schedules().await, r#"backup docs {}, forget docs/disk-a {"target":"disk-a"}"#);
    world.apply(&with(json!({ "last": 1 }), &["disk-a"])).await;
    assert_eq!(schedules().await, "backup docs {}");
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}
