//! Reading without end: paces, time limits, slow clients, and what is answered all the same.

use std::time::Duration;

use harness::{World, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Reader, world_with};
use crate::http::token;

#[tokio::test]
async fn persons_and_machines_read_at_their_own_paces() {
    let world = World::new().await;
    let pace = [("HOLDFAST_HTTP_PACE_PERSON", "5"), ("HOLDFAST_HTTP_PACE_MACHINE", "1000000")];
    let mut reader = Reader::with(&world, "viewer", &pace).await;
    for _ in 0..50 {
        let answer = reader.get("jobs").await;
        assert_eq!((answer.status, &answer.headers["ratelimit-limit"]), (200, &"1000000".parse().unwrap()));
    }
    reader.token = token(&world, "ann", &["--role", "viewer"]).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = reader.get("jobs").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.problem(429).1, "a person's token may make 5 requests a minute");
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_read_that_takes_too_long_says_so_and_holds_up_neither_health_nor_metrics() {
    let world = world_with(1).await;
    let settings = [("HOLDFAST_HTTP_STATEMENT_TIMEOUT", "500ms"), ("HOLDFAST_HTTP_CONNECTIONS", "2")];
    let reader = Reader::with(&world, "viewer", &settings).await;
    reader.read("workers?limit=7").await;
    let mut holder = world.database.client().await.unwrap();
    let locked = holder.transaction().await.unwrap();
    let hold =
        "set local idle_in_transaction_session_timeout = 0; lock table dead_task in access exclusive mode";
    locked.batch_execute(hold).await.unwrap();
    let paths: Vec<String> = (1..=40).map(|limit| format!("dead-tasks?limit={limit}")).collect();
    let reads = futures_util::future::join_all(paths.iter().map(|path| reader.get(path)));
    let waiting = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and application_name = 'reporter reads'";
    let meanwhile = async {
        eventually("reads wait", async || (world.number(waiting).await == 2).then_some(())).await;
        for path in ["healthz", "metrics"] {
            let answer =
                tokio::time::timeout(Duration::from_secs(2), reqwest::get(format!("{}/{path}", reader.url)));
            assert_eq!(answer.await.unwrap().unwrap().status(), 200, "{path}");
        }
    };
    let (answers, ()) = tokio::join!(reads, meanwhile);
    for answer in &answers {
        answer.problem(503);
        assert_eq!(answer.headers["retry-after"], "5");
    }
    let slow = answers
        .iter()
        .filter(|answer| answer.problem(503).1.starts_with("the database took too long for it"));
    assert!(slow.count() >= 2, "{answers:?}");
    locked.rollback().await.unwrap();
    drop(holder);
    eventually("it is read again", async || {
        (reader.get("dead-tasks?limit=40").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reader_can_change_nothing() {
    let world = World::new().await;
    let reading = shared::db::DatabaseConfig::from(world.database_url()).for_reading(Duration::from_secs(5));
    let client = shared::db::Database::new(&reading, "reads").unwrap().client().await.unwrap();
    let error = client.execute("delete from job", &[]).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("read-only transaction"));
}

#[tokio::test]
async fn a_client_that_does_not_come_to_the_end_of_its_request_is_cut_off() {
    let world = World::new().await;
    let reader = Reader::new(&world, "viewer").await;
    let address = reader.url.trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut long = TcpStream::connect(&address).await.unwrap();
    long.write_all(
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000)).as_bytes(),
    )
    .await
    .ok();
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), long.read_to_end(&mut said)).await.unwrap().ok();
    // What it was told may be lost with what it had not sent yet.
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 431"), "{said:?}");
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_mins(1), slow.read_to_end(&mut said)).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
}
