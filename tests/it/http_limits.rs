//! Commands over HTTP: how many, by whom, and how long.

use harness::eventually;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::dead::world_with_jobs;
use crate::http::{Client, token};

#[tokio::test]
async fn whoever_guesses_is_locked_out_and_nobody_else_is() {
    let world = world_with_jobs().await;
    let mut client = Client::new(&world, "operator").await;
    let task = json!({ "kind": "backup", "job": "docs" });
    let good = std::mem::take(&mut client.token);
    let (id, _) = good.rsplit_once('_').unwrap();
    for _ in 0..10 {
        client.token = format!("{id}_{}", "0".repeat(64));
        client.post("tasks", &task).await.problem(401);
    }
    client.token.clone_from(&good);
    let locked = client.post("tasks", &task).await;
    assert_eq!(locked.problem(429).1, "too many requests with a wrong token");
    let seconds: u64 = locked.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=300).contains(&seconds));
    client.token = token(&world, "other", &["--role", "operator"]).await;
    assert_eq!(client.post("tasks", &task).await.status, 201);
}

#[tokio::test]
async fn a_persons_token_makes_sixty_requests_a_minute_and_is_told_when_to_come_again() {
    let world = world_with_jobs().await;
    let mut client = Client::new(&world, "operator").await;
    client.token = token(&world, "ann", &["--role", "operator"]).await;
    let mut refused = None;
    for _ in 0..100 {
        let answer = client.send(Method::POST, &format!("tasks/{}/cancel", Uuid::now_v7()), None).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 404);
    }
    let refused = refused.unwrap();
    assert_eq!(refused.problem(429).1, "a person's token may make 60 requests a minute");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    assert_eq!(refused.headers["ratelimit-limit"], "60");
}

#[tokio::test]
async fn eight_requests_use_the_database_at_once_and_one_that_is_late_says_so() {
    let world = world_with_jobs().await;
    let client = Client::new(&world, "operator").await;
    let mut holder = world.database.client().await.unwrap();
    let locked = holder.transaction().await.unwrap();
    let hold =
        "set local idle_in_transaction_session_timeout = 0; lock table api_token in access exclusive mode";
    locked.batch_execute(hold).await.unwrap();
    let task = json!({ "kind": "backup", "job": "docs" });
    let requests = futures_util::future::join_all((0..20).map(|_| client.post("tasks", &task)));
    let waiting = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'";
    let relayed = async {
        eventually("eight requests wait", async || (world.number(waiting).await == 8).then_some(())).await;
        // The rest of the producer has connections still.
        let enqueued = world.producer(&["enqueue", "backup", "--job", "docs"]).await;
        assert_eq!(enqueued.code, 0, "{enqueued:?}");
        let published = "select count(*) from task where confirmed > 0";
        eventually("it is published", async || (world.number(published).await == 1).then_some(())).await;
        assert_eq!(world.number(waiting).await, 8);
    };
    let (answers, ()) = tokio::join!(requests, relayed);
    for answer in &answers {
        assert!(answer.problem(503).1.contains("repeat it with the same Idempotency-Key"), "{answer:?}");
        assert_eq!(answer.headers["retry-after"], "5");
    }
    // The others were told by the database that it locks them out.
    let timed_out =
        answers.iter().filter(|answer| answer.problem(503).1.starts_with("it was not done within 15 s"));
    assert_eq!(timed_out.count(), 12, "{answers:?}");
    locked.rollback().await.unwrap();
    // Nobody's place is lost with a late answer.
    let answers = futures_util::future::join_all((0..20).map(|_| client.post("tasks", &task))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
}
