//! The health of jobs is a fold over their executions, whatever order they are committed in.

use super::*;

/// An execution of the job `docs`, so many minutes ago.
fn attempt(outcome: &str, minutes: u32) -> String {
    format!(
        "insert into execution (task_id, epoch, attempt, kind, job_id, outcome, requested_by, enqueued_at, started_at, \
             finished_at, seconds, bytes)
         select gen_random_uuid(), 1, 1, 'backup', id, '{outcome}', 'test', now(), now(), \
             now() - interval '{minutes} minutes', 1, 100 from job where name = 'docs';"
    )
}

async fn health(world: &World) -> Option<String> {
    world
        .text("select outcome || ' ' || failed_in_a_row || ' ' || cardinality(seconds) from job_health")
        .await
}

#[tokio::test]
async fn what_is_committed_late_is_folded_once_and_what_was_written_after_it_waits_for_it() {
    let world = World::new().await;
    define(&world, &json!({}), &json!({})).await;
    let (reporter, _) = world.start_reporter().await;
    let late = world.database.client().await.unwrap();
    late.batch_execute(&format!("begin; {}", attempt("failed", 3))).await.unwrap();
    world.execute(&attempt("failed", 2)).await;
    look(&world).await;
    assert_eq!(health(&world).await, None);
    late.batch_execute("commit").await.unwrap();
    eventually("both are folded", async || {
        (health(&world).await.as_deref() == Some("failed 2 0")).then_some(())
    })
    .await;
    world.execute(&attempt("success", 1)).await;
    eventually("a good one is", async || {
        (health(&world).await.as_deref() == Some("success 0 1")).then_some(())
    })
    .await;
    look(&world).await;
    let days = "select sum(good) || ' ' || sum(bad) from job_day";
    assert_eq!(world.text(days).await.as_deref(), Some("1 2"));
    world.stop(reporter).await;
}

#[tokio::test]
async fn what_was_there_before_the_first_reporter_is_folded_range_by_range() {
    let world = World::new().await;
    define(&world, &json!({}), &json!({})).await;
    // More than one range of transactions, and more rows of good backups than are kept.
    for _ in 0..20 {
        world.execute(&attempt("success", 5)).await;
    }
    world
        .execute("do $$ begin for n in 1..1100 loop perform pg_current_xact_id(); commit; end loop; end $$")
        .await;
    for minutes in [4, 3] {
        world.execute(&attempt("success", minutes)).await;
    }
    world.execute(&attempt("timed_out", 2)).await;
    // A person ended it: that says nothing.
    world.execute(&attempt("cancelled", 1)).await;
    let (reporter, _) = world.start_reporter().await;
    let all = async || health(&world).await.as_deref() == Some("timed_out 1 21");
    eventually("all is folded", async || all().await.then_some(())).await;
    look(&world).await;
    assert!(all().await, "{:?}", health(&world).await);
    let days = "select sum(good) || ' ' || sum(bad) from job_day";
    assert_eq!(world.text(days).await.as_deref(), Some("22 1"));
    world.stop(reporter).await;
}

#[tokio::test]
async fn an_attempt_that_was_followed_by_another_is_no_end_of_a_task() {
    let world = World::new().await;
    define(&world, &json!({}), &json!({})).await;
    let task = "0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f";
    let of_task = |outcome: &str, epoch: u32| {
        attempt(outcome, 10 - epoch).replace("gen_random_uuid(), 1, 1", &format!("'{task}', {epoch}, 1"))
    };
    // It failed, was lost with its worker, and failed for good: all is known before anybody looks.
    for (outcome, epoch) in [("failed", 1), ("lost", 2), ("failed", 3)] {
        world.execute(&of_task(outcome, epoch)).await;
    }
    let (reporter, _) = world.start_reporter().await;
    eventually("it is folded", async || health(&world).await).await;
    look(&world).await;
    assert_eq!(health(&world).await.as_deref(), Some("failed 1 0"));
    world.stop(reporter).await;
}

#[tokio::test]
async fn after_the_restore_of_another_servers_dump_what_comes_from_then_on_counts() {
    let world = World::new().await;
    define(&world, &json!({}), &json!({})).await;
    // Numbers of transactions that this server has not had.
    world.execute("update alert_evaluation set folded = '1000000000000'").await;
    let (reporter, _) = world.start_reporter().await;
    look(&world).await;
    world.execute(&attempt("failed", 1)).await;
    eventually("it is folded", async || {
        (health(&world).await.as_deref() == Some("failed 1 0")).then_some(())
    })
    .await;
    assert!(reporter.log().contains("transactions that this server has not had"));
    world.stop(reporter).await;
}
