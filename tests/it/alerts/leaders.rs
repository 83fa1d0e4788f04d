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

const HELD: &str = "select holder::text from leader where role = 'alerts' and expires_at > now()";

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
