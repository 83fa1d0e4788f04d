//! A report that is not wanted any more, or takes too long, leaves nothing running at the server.

use harness::{World, eventually};
use uuid::Uuid;

use super::world_with;

/// What a report reads, and nothing else that a worker does.
const HELD: &str =
    "set local idle_in_transaction_session_timeout = 0; lock table compliance_hour in access exclusive mode";

async fn at_it(world: &World) -> i64 {
    let statement =
        "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'
         and query like '/* compliance_hour.%'";
    world.number(statement).await
}

async fn enqueue(world: &World) -> String {
    let id = Uuid::now_v7().to_string();
    let run = world.producer(&["enqueue", "report", "--id", &id]).await;
    assert_eq!(run.code, 0, "{run:?}");
    id
}

#[tokio::test]
async fn a_report_that_is_cancelled_while_its_statement_waits_has_none_running_afterwards() {
    let world = world_with(&["docs"]).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let mut blocker = world.database.client().await.unwrap();
    let transaction = blocker.transaction().await.unwrap();
    transaction.batch_execute(HELD).await.unwrap();
    let id = enqueue(&world).await;
    eventually("it waits", async || (at_it(&world).await == 1).then_some(())).await;
    let run = world.producer(&["tasks", "cancel", &id, "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(at_it(&world).await, 0, "the server is at it still");
    let outcome = world.text(&format!("select outcome from execution where task_id = '{id}'")).await;
    assert_eq!(outcome.as_deref(), Some("cancelled"));
    transaction.rollback().await.unwrap();
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_report_that_takes_too_long_has_no_statement_running_afterwards() {
    let world = world_with(&["docs"]).await;
    let settings = [("HOLDFAST_POOLS_REPORT_TIMEOUT", "1s"), ("HOLDFAST_POOLS_REPORT_ATTEMPTS", "1")];
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &settings));
    let mut blocker = world.database.client().await.unwrap();
    let transaction = blocker.transaction().await.unwrap();
    transaction.batch_execute(HELD).await.unwrap();
    let id = enqueue(&world).await;
    let ended = format!("select outcome from execution where task_id = '{id}' order by attempt limit 1");
    let outcome = eventually("its time is over", async || world.text(&ended).await).await;
    assert_eq!(outcome, "timed_out");
    assert_eq!(at_it(&world).await, 0, "the server is at it still");
    transaction.rollback().await.unwrap();
    world.stop(worker).await;
    world.stop(producer).await;
}
