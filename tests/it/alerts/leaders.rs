//! Several reporters, of which one looks at the rules.

use super::*;

/// Each change of an alert's life follows on the one before, and is there once.
async fn check_once(world: &World, cause: &str) {
    let history = history(world, cause).await;
    for (place, transition) in history.iter().enumerate() {
        let expected = match (place, place % 2) {
            (0, _) => "opened",
            (_, 1) => "resolved",
            _ => "reopened",
        };
        assert_eq!(transition, expected, "{cause}: {history:?}");
    }
}

fn start_second(world: &World) -> Service {
    let settings = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_REFRESH", "200ms")];
    world.start("reporter", "second", &settings)
}

const HELD: &str = "select holder::text from leader where role = 'reporter' and expires_at > now()";

#[tokio::test]
async fn two_reporters_make_each_change_once_and_the_second_goes_on_when_the_first_is_killed() {
    let mut watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    let first = eventually("somebody leads", async || world.text(HELD).await).await;
    let second = start_second(world);
    define(world, &json!({ "failure_rate": 1.0 }), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "open").await;

    watched.reporter.kill().await.unwrap();
    define(world, &json!({}), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "resolved").await;
    assert_ne!(world.text(HELD).await, Some(first));
    define(world, &json!({ "failure_rate": 1.0 }), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "open").await;
    check_once(world, "backup_failed/docs").await;
    assert_eq!(history(world, "backup_failed/docs").await.len(), 3);
    assert_eq!(world.number("select failed_in_a_row::bigint from job_health").await, 1);
    world.stop(second).await;
    world.stop(watched.worker).await;
    world.stop(watched.producer).await;
}

#[tokio::test]
async fn a_leader_that_was_stopped_for_a_while_writes_nothing_when_it_goes_on() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    let first = eventually("somebody leads", async || world.text(HELD).await).await;
    watched.reporter.pause().unwrap();
    let second = start_second(world);
    eventually("another one leads", async || world.text(HELD).await.filter(|holder| *holder != first)).await;
    define(world, &json!({ "failure_rate": 1.0 }), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "open").await;
    watched.reporter.resume().unwrap();
    define(world, &json!({}), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "resolved").await;
    look(world).await;
    check_once(world, "backup_failed/docs").await;
    assert_eq!(history(world, "backup_failed/docs").await.len(), 2);
    world.stop(second).await;
    watched.stop().await;
}

/// Makes somebody else the leader in a transaction that is open until the process that led until now waits for its row, which it does
/// before it commits what it has written.
async fn take_over(world: &World, begins: impl AsyncFnOnce()) {
    let mut client = world.database.client().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let taken = "update leader set holder = gen_random_uuid(), term = term + 1, expires_at = 'infinity'
         where role = 'reporter'";
    assert_eq!(transaction.execute(taken, &[]).await.unwrap(), 1);
    begins().await;
    eventually("the leader looks at its row before it commits", async || {
        waits(world, "select from leader").await.then_some(())
    })
    .await;
    transaction.commit().await.unwrap();
    let commits = async || (!waits(world, "select from leader").await).then_some(());
    eventually("nothing is left to commit", commits).await;
}

/// Whether somebody waits for a lock with such a statement.
async fn waits(world: &World, statement: &str) -> bool {
    let statement = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
             and wait_event_type = 'Lock' and query like '%{statement}%'"
    );
    world.number(&statement).await > 0
}

#[tokio::test]
async fn what_a_leader_saw_before_another_one_took_over_is_not_written() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    look(world).await;
    define(world, &json!({ "failure_rate": 1.0 }), &json!({})).await;
    // It cannot begin to look before the failure is there and somebody else has taken over. A look that has begun already goes on first.
    let mut client = world.database.client().await.unwrap();
    let held = loop {
        let held = client.transaction().await.unwrap();
        held.execute("select from alert_evaluation for update", &[]).await.unwrap();
        let waiting = eventually("somebody waits", async || {
            let begins = waits(world, "select folded").await;
            (begins || waits(world, "update alert_evaluation").await).then_some(begins)
        });
        if waiting.await {
            break held;
        }
        held.rollback().await.unwrap();
        client = world.database.client().await.unwrap();
    };
    back_up(world, "docs").await;
    // An attempt counts as seen only when no transaction of the whole server that is older than its own runs.
    let older = "select count(*) from pg_stat_activity where backend_xid::text::bigint <= (select max(xact::text::bigint) from execution)";
    eventually("nothing older but what holds it is running", async || {
        (world.number(older).await <= 1).then_some(())
    })
    .await;
    take_over(world, async || held.rollback().await.unwrap()).await;
    eventually("it knows", async || watched.reporter.log().contains("another reporter leads").then_some(()))
        .await;
    assert_eq!(states(world, "backup_failed/docs").await, [""; 0]);
    assert_eq!(world.number("select failed_in_a_row::bigint from job_health").await, 1, "it had seen it");
    watched.stop().await;
}

#[tokio::test]
async fn what_a_leader_was_about_to_route_when_another_one_took_over_is_not_routed() {
    let world = World::new().await;
    world.hold_the_alerts().await;
    let channel = json!({ "name": "hook", "kind": "webhook", "url": "http://127.0.0.1:9/",
        "secret": { "file": world.path("password") }, "allow_private": true });
    let route = json!({ "name": "all", "channels": ["hook"] });
    world.apply(&json!({ "channels": [channel], "routes": [route] })).await;
    let (reporter, _) = world.start_reporter().await;
    eventually("somebody leads", async || world.text(HELD).await).await;
    take_over(&world, async || {
        world.open_alert("docs", shared::alert::Severity::Critical, None).await;
    })
    .await;
    eventually("it knows", async || reporter.log().contains("another reporter leads").then_some(())).await;
    assert_eq!(world.number("select count(*) from notification").await, 0);
    assert_eq!(world.number("select count(*) from alert_event where routed_at is null").await, 1);
    world.stop(reporter).await;
}
