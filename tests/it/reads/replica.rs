//! A server that follows the database's: it is read while it is near, and nobody notices when it is not.

use devstack::Stack;
use harness::{Servers, World, eventually, metrics};
use serde_json::json;
use tokio_postgres::NoTls;

use super::{Reader, column};
use crate::http::token;

async fn used(reader: &Reader) -> Option<f64> {
    metrics(&reader.url).await.get("holdfast_replica_used").copied()
}

async fn until_used(reader: &Reader, wanted: f64) {
    let what = format!("the replica is used: {wanted}");
    eventually(&what, async || used(reader).await.filter(|used| (used - wanted).abs() < 1e-9)).await;
}

async fn rename(world: &World, owner: &str) {
    let mut job = world.simulated_job("docs", &["disk-a"], &json!({}));
    job["owner"] = json!(owner);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job] })).await;
}

async fn owner_if_any(reader: &Reader) -> Option<String> {
    let answer = reader.get("jobs").await;
    (answer.status == 200).then(|| column(&answer.body, "owner")[0].as_str().unwrap().to_owned())
}

async fn owner(reader: &Reader) -> String {
    reader.column("jobs", "owner").await[0].as_str().unwrap().to_owned()
}

/// Runs a statement there; returns its first value.
async fn on_the_standby(url: &str, statement: &str) -> Option<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(connection);
    let said = client.simple_query(statement).await.unwrap();
    said.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

#[tokio::test]
async fn a_replica_is_read_while_it_is_near_and_the_primary_when_it_is_not_or_is_gone() {
    let directory = tempfile::Builder::new().prefix("holdfast-replica-").tempdir().unwrap();
    let mut stack = Stack::start(directory.path()).await.unwrap();
    let world = World::on(&Servers::of(&stack)).await;
    rename(&world, "first").await;
    let mut standby = stack.postgres.standby().await.unwrap();
    let (_, database) = world.database_url().rsplit_once('/').unwrap();
    let (server, _) =
        standby.url().rsplit_once('/').map(|(server, name)| (server.to_owned(), name.to_owned())).unwrap();
    let url = format!("{server}/{database}");
    let settings = [("DATABASE_READ_URL", url.as_str()), ("HOLDFAST_HTTP_REPLICA_LAG", "1h")];
    let patient = Reader::with(&world, "viewer", &settings).await;
    let strict = patient.beside(&world, &[settings[0], ("HOLDFAST_HTTP_REPLICA_LAG", "2s")]).await;
    until_used(&patient, 1.0).await;
    until_used(&strict, 1.0).await;
    eventually("the first word has come", async || (owner(&patient).await == "first").then_some(())).await;
    eventually("the summary says so", async || {
        (patient.read("summary").await["replica"]["used"] == json!(true)).then_some(())
    })
    .await;

    // It hears of the primary's changes, and does nothing about them.
    on_the_standby(&url, "select pg_wal_replay_pause()").await;
    rename(&world, "second").await;
    assert_eq!(owner(&patient).await, "first", "it is read from the replica");
    until_used(&strict, 0.0).await;
    assert_eq!(owner(&strict).await, "second", "it is read from the primary");
    eventually("the lag grows", async || {
        let lag = metrics(&patient.url).await.get("holdfast_replica_lag_seconds").copied()?;
        (lag > 2.0).then_some(())
    })
    .await;
    assert!(patient.read("summary").await["replica"]["lag_seconds"].as_f64().is_some());
    on_the_standby(&url, "select pg_wal_replay_resume()").await;
    eventually("it comes after", async || (owner(&patient).await == "second").then_some(())).await;
    until_used(&strict, 1.0).await;

    // It hears nothing any more, and thinks that it has everything.
    let primary = on_the_standby(&url, "show primary_conninfo").await.unwrap().replace('\'', "''");
    on_the_standby(&url, "alter system set primary_conninfo = ''").await;
    on_the_standby(&url, "select pg_reload_conf()").await;
    rename(&world, "third").await;
    until_used(&strict, 0.0).await;
    assert_eq!(owner(&strict).await, "third");
    on_the_standby(&url, &format!("alter system set primary_conninfo = '{primary}'")).await;
    on_the_standby(&url, "select pg_reload_conf()").await;
    until_used(&strict, 1.0).await;

    standby.kill().await.unwrap();
    for _ in 0..20 {
        assert_eq!(owner(&patient).await, "third");
    }
    until_used(&patient, 0.0).await;
    standby.start().await.unwrap();
    until_used(&patient, 1.0).await;
    eventually("it has come after", async || (owner(&patient).await == "third").then_some(())).await;

    // The primary is gone: what the replica has is read, also by somebody whom nobody remembers.
    let late = patient.by(token(&world, "late", &["--role", "viewer"]).await);
    eventually("the token has come", async || (late.get("jobs").await.status == 200).then_some(())).await;
    let unknown = patient.by(token(&world, "later", &["--role", "viewer"]).await);
    let has_come = "select count(*)::text from api_token where name = 'later'";
    eventually("the other token too", async || (on_the_standby(&url, has_come).await? == "1").then_some(()))
        .await;
    stack.postgres.kill().await.unwrap();
    eventually("the replica is read", async || (owner_if_any(&unknown).await? == "third").then_some(()))
        .await;
    assert_eq!(unknown.get("audit").await.status, 403);
    drop((late, unknown, patient, strict, world));
    drop(standby);
    stack.discard().await.unwrap();
}
