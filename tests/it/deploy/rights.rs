//! The users of a deployment may do what their work needs, and no more: everything runs as them, the worker in a place where it can write
//! nothing but what is its own.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use devstack::Service;
use futures_util::FutureExt as _;
use harness::{eventually, noise};
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;
use shared::db::{Database, DatabaseConfig, session};
use tokio_util::bytes::Bytes;
use uuid::Uuid;

use super::deployment::{Deployment, url};

#[tokio::test]
async fn each_user_does_its_work_and_nothing_else() {
    let deployment = Deployment::new().await;
    let migrated = deployment.producer(&["migrate"]).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");

    // A worker declares nothing: it says what it waits for.
    let worker = deployment.start_shut_in();
    eventually("the worker says what is missing", async || {
        worker.log().contains("a producer has to be started first").then_some(())
    })
    .await;
    let quick = [("HOLDFAST_REAPER_INTERVAL", "500ms"), ("HOLDFAST_LISTEN", "127.0.0.1:0")];
    let producer = deployment.start("producer", "producer", ["owner", "producer"], &quick);
    let slots = ["BACKUP", "COPY", "FORGET", "PROBE", "RECORD", "REPORT", "RESTORE", "VERIFY"]
        .map(|kind| format!("HOLDFAST_POOLS_{kind}_SLOTS"));
    let mut maintains = vec![("HOLDFAST_NAME", "maintenance")];
    maintains.extend(slots.iter().map(|variable| (variable.as_str(), "0")));
    let maintenance = deployment.start("worker", "maintenance", ["owner", "worker"], &maintains);
    let reporting = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_REFRESH", "200ms")];
    let reporter = deployment.start("reporter", "reporter", ["reporter", "reporter"], &reporting);

    let done = AssertUnwindSafe(work(&deployment)).catch_unwind().await;
    assert!(done.is_ok(), "{}\n{}", worker.log(), producer.log());
    look(&deployment, &reporter).await;
    the_rest_is_refused(&deployment).await;
    a_hung_worker_is_freed_of_its_locks(&deployment).await;

    for (service, name) in
        [(&worker, "worker"), (&producer, "producer"), (&maintenance, "maintenance"), (&reporter, "reporter")]
    {
        let log = service.log();
        let refused: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("permission denied") || line.contains("ACCESS_REFUSED"))
            .collect();
        assert!(refused.is_empty(), "{name}: {refused:#?}");
    }
    for service in [worker, maintenance, reporter, producer] {
        deployment.world.stop(service).await;
    }
}

/// Every kind of task, as it would come.
async fn work(deployment: &Deployment) {
    let world = &deployment.world;
    world.write("source/a.bin", noise(1 << 20));
    world.write("source/b.txt", "b");
    let mut job = world.files_job("docs", &["disk-a", "disk-b"]);
    job["retention"] = json!({ "last": 1 });
    let other = json!({
        "name": "erp", "owner": "dba", "targets": ["disk-a"],
        "source": { "kind": "reported", "site": "hq", "failure_domain": "erp-1", "media": "disk" },
    });
    let limits = json!([{ "owner": "ops", "concurrency": 1 }, { "pool": "backup", "starts_per_minute": 6000, "strict": true }]);
    let definitions = json!({
        "targets": [world.target("disk-a", &json!({})), world.target("disk-b", &json!({ "isolation": "detached" }))],
        "jobs": [job, other], "limits": limits,
        "channels": [{ "name": "mail", "kind": "email", "from": "a@example.org", "to": ["b@example.org"], "server": "127.0.0.1:1" }],
    });
    // JSON is YAML.
    let file = world.write("definitions.yaml", definitions.to_string());
    let applied = deployment.producer(&["apply", file.to_str().unwrap()]).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    deployment.enqueue(&["backup", "--job", "docs"]).await;
    world.write("source/c.bin", noise(1 << 16));
    deployment.enqueue(&["backup", "--job", "docs"]).await;
    for level in ["structure", "read", "restore"] {
        deployment
            .enqueue(&[
                "verify",
                "--job",
                "docs",
                "--param",
                "target=disk-a",
                "--param",
                &format!("level={level}"),
            ])
            .await;
    }
    deployment.enqueue(&["restore", "--job", "docs", "--param", "into=back"]).await;
    assert_eq!(std::fs::read(find(&world.path("restored/back"), "b.txt")).unwrap(), b"b");
    deployment.enqueue(&["probe", "--job", "docs", "--param", "target=disk-a"]).await;
    deployment.enqueue(&["forget", "--job", "docs", "--param", "target=disk-a"]).await;
    deployment.enqueue(&["report", "--param", "report=daily", "--param", "mail_to=mail"]).await;
    for action in ["vacuum", "sweep", "reindex"] {
        deployment.enqueue(&["maintain", "--param", &format!("action={action}")]).await;
    }
    take_the_medium_away(deployment).await;
    publish(deployment).await;
    let open = "select (select count(*) from task) + (select count(*) from lease)";
    eventually("all is done", async || (deployment.number(open).await == 0).then_some(())).await;
    let bad = "select count(*) from execution where outcome not in ('success', 'warning')";
    assert_eq!(deployment.number(bad).await, 0);
    assert!(deployment.number("select count(distinct kind) from execution").await >= 9);
}

fn find(directory: &std::path::Path, name: &str) -> PathBuf {
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
            .flatten()
        {
            if entry.file_name() == name {
                return entry.path();
            }
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
        }
    }
    panic!("there is no {name} below {}", directory.display());
}

/// A detach that ends because probes no longer reach it; then it comes back.
async fn take_the_medium_away(deployment: &Deployment) {
    let (plugged, drawer) =
        (deployment.world.path("repositories/disk-b"), deployment.world.path("repositories/drawer"));
    let taking_away = async {
        let reached = "select count(*) from evidence e join target t on t.id = e.target_id
             where t.name = 'disk-b' and t.state = 'detached' and e.kind = 'reached'";
        eventually("a probe still reached it", async || (deployment.number(reached).await > 0).then_some(()))
            .await;
        std::fs::rename(&plugged, &drawer).unwrap();
    };
    let (detached, ()) =
        tokio::join!(deployment.producer(&["target", "detach", "disk-b", "--timeout", "50s"]), taking_away);
    assert_eq!(detached.code, 0, "{detached:?}");
    std::fs::rename(&drawer, &plugged).unwrap();
    assert_eq!(deployment.producer(&["target", "attach", "disk-b"]).await.code, 0);
}

/// Another system tells what it did, and asks for what there is not.
async fn publish(deployment: &Deployment) {
    let url = url(&deployment.world, "publisher_amqp_url", &deployment.world.broker.url);
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let record = json!({
        "version": 1, "id": Uuid::now_v7(), "kind": "record", "job": "erp", "requested_by": "erp",
        "params": { "target": "disk-a", "outcome": "success", "started_at": "2026-11-01T02:00:00Z", "finished_at": "2026-11-01T03:00:00Z" },
    });
    let unknown = json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": "nobody", "requested_by": "erp" });
    for (key, body) in [("record", record), ("backup.normal", unknown)] {
        let (options, properties) = (
            BasicPublishOptions { mandatory: true, ..Default::default() },
            BasicProperties::default().with_delivery_mode(2),
        );
        let body = body.to_string();
        let confirm = channel
            .basic_publish("holdfast.tasks".into(), key.into(), options, body.as_bytes(), properties)
            .await
            .unwrap()
            .await
            .unwrap();
        assert!(confirm.is_ack(), "{key}");
    }
    eventually("the bad one is a dead letter", async || {
        let letters = deployment.producer(&["dead", "list", "--letters", "--json"]).await;
        letters.stdout.contains("unknown_job").then_some(())
    })
    .await;
    let recorded = "select count(*) from execution where kind = 'record'";
    eventually("the good one is recorded", async || (deployment.number(recorded).await == 1).then_some(()))
        .await;
}

/// What people look at.
async fn look(deployment: &Deployment, reporter: &Service) {
    for arguments in [
        &["status", "--json"][..],
        &["figures", "--json"],
        &["alerts", "list", "--json"],
        &["report", "list"],
        &["rollup", "check"],
        &["db", "stats"],
    ] {
        let shown = deployment.run("reporter", ["reporter", "reporter"], arguments).await;
        assert!(shown.code < 2 && !shown.stderr.contains("permission denied"), "{arguments:?}: {shown:?}");
    }
    let rebuilt = deployment.run("reporter", ["reporter", "reporter"], &["rollup", "rebuild"]).await;
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    eventually("all is rolled up", async || {
        (deployment.number("select count(*) from rollup").await > 0).then_some(())
    })
    .await;
    let overdue = "update compliance set due_at = now()";
    deployment.database.client().await.unwrap().batch_execute(overdue).await.unwrap();
    let judged = "select count(*) from compliance where due_at is null or due_at > now()";
    eventually("jobs are judged when their evidence expires", async || {
        (deployment.number(judged).await == 2).then_some(())
    })
    .await;
    eventually("alerts are looked for", async || {
        (deployment
            .number("select count(*) from alert_evaluation where evaluated_at > now() - interval '1 minute'")
            .await
            > 0)
        .then_some(())
    })
    .await;
    eventually("the report is tried to be sent", async || {
        (deployment.number("select count(*) from delivery").await > 0).then_some(())
    })
    .await;
    let token =
        deployment.producer(&["token", "create", "portal", "--role", "auditor", "--machine", "--json"]).await;
    let token = token.json()["token"].as_str().unwrap().to_owned();
    let url = harness::address(reporter).await;
    for list in crate::reads::LISTS.iter().chain(&["summary"]) {
        let answer = reqwest::Client::new()
            .get(format!("{url}/api/v1/{list}"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{list}");
    }
}

/// What nobody's work needs.
async fn the_rest_is_refused(deployment: &Deployment) {
    let world = &deployment.world;
    let denied = async |user: &str, statement: &str| {
        let url = url(world, &format!("{user}_database_url"), world.database_url());
        let database = Database::new(&DatabaseConfig::from(url.as_str()), "holdfast test").unwrap();
        let refused = database.client().await.unwrap().batch_execute(statement).await;
        let code = refused.as_ref().err().and_then(|error| error.code()).map(|state| state.code().to_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{user}: {statement}: {refused:?}");
    };
    for statement in [
        "select * from api_token",
        "insert into api_token (id, name) values (gen_random_uuid(), 'x')",
        "update job set definition = '{}'",
        "update target set definition = '{}'",
        "delete from execution",
        "update evidence set finding = '{}'",
        "delete from audit",
        "select * from idempotency",
        "create table x ()",
        "drop table execution",
        "create schema x",
    ] {
        denied("worker", statement).await;
    }
    for statement in [
        "update api_token set role = 'admin'",
        "insert into task default values",
        "update job set active = false",
        "delete from evidence",
        "create table x ()",
    ] {
        denied("reporter", statement).await;
    }
    for (user, does) in [
        ("worker", "declare"),
        ("worker", "consume holdfast.dead"),
        ("reporter", "consume holdfast.backup.normal"),
        ("publisher", "restore"),
    ] {
        let url = url(world, &format!("{user}_amqp_url"), &world.broker.url);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let refused = match does.split_once(' ') {
            Some((_, queue)) => channel
                .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
                .await
                .map(drop),
            None if does == "declare" => channel
                .queue_declare("holdfast.x".into(), QueueDeclareOptions::default(), FieldTable::default())
                .await
                .map(drop),
            None => {
                channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
                let published = channel.basic_publish(
                    "holdfast.tasks".into(),
                    "restore.normal".into(),
                    BasicPublishOptions::default(),
                    b"{}",
                    BasicProperties::default(),
                );
                published.then(async |confirm| confirm?.await.map(drop)).await
            }
        };
        assert!(
            refused.is_err_and(|error| error.to_string().contains("ACCESS_REFUSED")),
            "{user} may {does}"
        );
    }
}

/// A session of a worker's user, in the middle of rows on their way in, is ended by the producer's.
async fn a_hung_worker_is_freed_of_its_locks(deployment: &Deployment) {
    let url = url(&deployment.world, "worker_database_url", deployment.world.database_url());
    let hung = Database::new(&DatabaseConfig::from(url.as_str()), "holdfast worker hung").unwrap();
    let mut client = hung.client().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let _rows = transaction.copy_in::<_, Bytes>("copy known_id (id) from stdin").await.unwrap();
    let owner = deployment.database.client().await.unwrap();
    let ended = async || (session::end_stuck(&owner, Duration::ZERO).await.unwrap() >= 1).then_some(());
    eventually("the session is ended", ended).await;
}
