//! What only a newer version can read holds up nothing but itself.

use harness::Receiver;

use super::*;

#[tokio::test]
async fn what_cannot_be_read_is_told_of_once_and_holds_up_no_other_alert() {
    let receiver = Receiver::start().await;
    let world = World::new().await;
    let failing = json!({ "failure_rate": 1.0 });
    let hook = json!({ "name": "hook", "kind": "webhook", "url": receiver.url, "allow_private": true,
        "secret": { "file": world.path("password") } });
    let route =
        json!({ "name": "all", "channels": ["hook"], "group_wait": "0s", "rules": ["backup_failed"] });
    world
        .apply(&json!({
            "targets": [world.target("disk-a", &json!({}))],
            "jobs": [job(&world, "docs", &failing), job(&world, "mail", &failing)],
            "channels": [hook],
            "routes": [route],
        }))
        .await;
    let watched = Watched::over(world).await;
    let world = &watched.world;
    back_up(world, "mail").await;
    until(world, "backup_failed/mail", "open").await;
    until(world, "dead_tasks/backup", "open").await;

    world
        .execute(
            "update job set definition = jsonb_set(definition, '{source,kind}', '\"future\"') where name = 'mail';
             update definitions_version set value = value + 1;
             insert into maintenance (name, definition) values ('future', '{}');
             insert into silence (rule, ends_at, created_by, why) values ('future', now() + interval '1 day', 'me', 'it');
             insert into alert_setting (rule, setting) values ('future', '{}'), ('dead_tasks', '7');
             insert into route (name, definition) values ('a-future', '{}');
             insert into channel (name, definition) values ('a-future', '{}')",
        )
        .await;
    assert_eq!(world.producer(&["dead", "drop", "--tasks", "--kind", "backup", "--yes"]).await.code, 0);
    look(world).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "open").await;
    eventually("both are told", async || (receiver.received().len() == 2).then_some(())).await;
    // Nobody knows whether these are over.
    assert_eq!(states(world, "backup_failed/mail").await, ["open"]);
    assert_eq!(states(world, "dead_tasks/backup").await, ["open"]);
    let log = watched.reporter.log();
    for what in ["job", "maintenance window", "silence", "alert setting", "route", "channel"] {
        let said = log.lines().filter(|line| {
            line.contains("this version cannot read it") && line.contains(&format!("what=\"{what}\""))
        });
        let expected = if what == "alert setting" { 2 } else { 1 };
        assert_eq!(said.count(), expected, "{what}: {log}");
    }
    watched.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_waits_for_a_newer_version_and_others_are_routed() {
    let receiver = Receiver::start().await;
    let world = World::new().await;
    world.hold_the_alerts().await;
    let hook = json!({ "name": "hook", "kind": "webhook", "url": receiver.url, "allow_private": true,
        "secret": { "file": world.path("password") } });
    let route = json!({ "name": "all", "channels": ["hook"], "group_wait": "0s" });
    world.apply(&json!({ "channels": [hook], "routes": [route] })).await;
    world.open_alert("future", shared::alert::Severity::Critical, None).await;
    world.execute("update alert set rule = 'future' where subject = 'future'").await;
    world.open_alert("docs", shared::alert::Severity::Critical, None).await;
    let (reporter, _) = world.start_reporter().await;
    eventually("the other one is told", async || (receiver.received().len() == 1).then_some(())).await;
    let waiting =
        "select subject from alert a join alert_event e on e.alert_id = a.id where e.routed_at is null";
    assert_eq!(world.text(waiting).await.as_deref(), Some("future"));
    world.stop(reporter).await;
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_hides_no_other_from_the_list() {
    let world = World::new().await;
    let mut docs = world.simulated_job("docs", &["disk-a"], &json!({}));
    docs["schedule"] = json!({ "cron": "0 2 * * *" });
    let mut mail = world.simulated_job("mail", &["disk-a"], &json!({}));
    mail["schedule"] = json!({ "cron": "0 3 * * *" });
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [docs, mail] })).await;
    world.execute("update schedule set spec = '{\"future\": 1}' where name = 'mail'").await;
    let run = world.producer(&["schedule", "list", "--json"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()[0]["name"], "docs", "{run:?}");
    assert_eq!(run.json().as_array().unwrap().len(), 1, "{run:?}");
    assert!(run.stderr.contains("schedule backup/mail cannot be read by this version"), "{run:?}");
}
