//! How the backups of a job go.

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const FAILING: &str = r#"{ "failure_rate": 1.0 }"#;

fn failing() -> Value {
    serde_json::from_str(FAILING).unwrap()
}

#[tokio::test]
async fn a_failed_backup_opens_an_alert_that_the_next_good_one_resolves() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    define(world, &failing(), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "open").await;
    let said = summary(world, "backup_failed/docs").await;
    assert_eq!(said, "the last backup of docs failed: the simulated work failed, as it was told to");
    define(world, &json!({}), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backup_failed/docs", "resolved").await;
    assert_eq!(history(world, "backup_failed/docs").await, ["opened", "resolved"]);
    // One that failed is not three in a row.
    assert_eq!(states(world, "backups_failing/docs").await, [""; 0]);
    watched.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_tried_again_is_no_failed_backup() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    let mut job = job(world, "docs", &failing());
    job["tries"]["backup"]["attempts"] = json!(100);
    world.apply(&json!({ "jobs": [job] })).await;
    let run = world.producer(&["enqueue", "backup", "--job", "docs"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let failed = "select count(*) from execution where outcome = 'failed'";
    eventually("an attempt failed", async || (world.number(failed).await > 0).then_some(())).await;
    look(world).await;
    assert_eq!(states(world, "backup_failed/docs").await, [""; 0]);
    let id = world.text("select id::text from task").await;
    if let Some(id) = id {
        world.producer(&["tasks", "cancel", &id]).await;
    }
    watched.stop().await;
}

#[tokio::test]
async fn three_failed_backups_in_a_row_are_critical_and_explain_the_last_one() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    define(world, &failing(), &json!({})).await;
    for _ in 0..3 {
        back_up(world, "docs").await;
    }
    until(world, "backups_failing/docs", "open").await;
    let severity = "select severity from alert where cause = 'backups_failing/docs'";
    assert_eq!(world.text(severity).await.as_deref(), Some("critical"));
    eventually("the other one is explained", async || {
        let by = "select suppressed_by from alert where cause = 'backup_failed/docs'";
        (world.text(by).await.as_deref() == Some("alert:backups_failing/docs")).then_some(())
    })
    .await;
    define(world, &json!({}), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "backups_failing/docs", "resolved").await;
    until(world, "backup_failed/docs", "resolved").await;
    watched.stop().await;
}

#[tokio::test]
async fn a_backup_with_warnings_opens_an_alert_that_one_without_them_resolves() {
    let world = World::new().await;
    let mut job = world.files_job("erp", &["disk-a"]);
    job["source"] = json!({ "kind": "reported", "site": "hq", "failure_domain": "erp-1", "media": "disk" });
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job] })).await;
    let watched = Watched::over(world).await;
    let world = &watched.world;
    let report = async |outcome: &str| {
        let now = shared::clock::now().to_rfc3339();
        let params = json!({ "target": "disk-a", "outcome": outcome, "started_at": now, "finished_at": now });
        let task =
            json!({ "version": 1, "id": Uuid::now_v7(), "kind": "record", "job": "erp", "params": params });
        world.broker.publish("record", &[task.to_string().into()]).await;
    };
    report("warning").await;
    until(world, "backup_warnings/erp", "open").await;
    report("success").await;
    until(world, "backup_warnings/erp", "resolved").await;
    report("failed").await;
    until(world, "backup_failed/erp", "open").await;
    // What another system did says nothing about the target.
    assert_eq!(world.number("select count(*) from target_health").await, 0);
    watched.stop().await;
}

#[tokio::test]
async fn a_job_without_a_recent_backup_is_told_of_until_it_has_one() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    look(world).await;
    assert_eq!(states(world, "no_recent_backup/docs").await, [""; 0], "it is new");
    world.execute("update job set created_at = now() - interval '27 hours'").await;
    until(world, "no_recent_backup/docs", "open").await;
    back_up(world, "docs").await;
    until(world, "no_recent_backup/docs", "resolved").await;
    world.execute("update restore_point set data_time = now() - interval '27 hours'").await;
    until(world, "no_recent_backup/docs", "open").await;
    // A job that is switched off has no alerts.
    let mut job = job(world, "docs", &json!({}));
    job["active"] = json!(false);
    world.apply(&json!({ "jobs": [job] })).await;
    until(world, "no_recent_backup/docs", "resolved").await;
    assert_eq!(history(world, "no_recent_backup/docs").await, ["opened", "resolved", "reopened", "resolved"]);
    watched.stop().await;
}

#[tokio::test]
async fn too_few_successes_in_a_month_open_an_alert_that_enough_of_them_resolve() {
    let rules = json!({ "success_rate": { "below": 0.6, "tasks": 2 } });
    let watched = Watched::new(&rules).await;
    let world = &watched.world;
    define(world, &failing(), &rules).await;
    back_up(world, "docs").await;
    look(world).await;
    assert_eq!(states(world, "success_rate/docs").await, [""; 0], "of one task there is no rate");
    define(world, &json!({}), &rules).await;
    back_up(world, "docs").await;
    until(world, "success_rate/docs", "open").await;
    let said = summary(world, "success_rate/docs").await;
    assert_eq!(said, "50.0 % of the 2 backups of docs in the last 30 days succeeded, less than 60.0 %");
    back_up(world, "docs").await;
    until(world, "success_rate/docs", "resolved").await;
    watched.stop().await;
}

/// Six backups of which nothing is unusual.
async fn usual(world: &World) {
    let task = || json!({ "id": Uuid::now_v7(), "kind": "backup", "job": "docs" });
    let tasks: Vec<Value> = (0..6).map(|_| task()).collect();
    let body = json!({ "version": 1, "tasks": tasks }).to_string();
    world.broker.publish("backup.normal", &[body.into()]).await;
    let done = "select count(*) from execution where kind = 'backup'";
    eventually("six backups are done", async || (world.number(done).await == 6).then_some(())).await;
}

#[tokio::test]
async fn a_backup_that_takes_unusually_long_opens_an_alert_that_a_usual_one_resolves() {
    let rules = json!({ "duration_unusual": { "by": "1s" } });
    let watched = Watched::new(&rules).await;
    let world = &watched.world;
    usual(world).await;
    define(world, &json!({ "duration": "1500ms" }), &rules).await;
    back_up(world, "docs").await;
    until(world, "duration_unusual/docs", "open").await;
    define(world, &json!({}), &rules).await;
    back_up(world, "docs").await;
    until(world, "duration_unusual/docs", "resolved").await;
    watched.stop().await;
}

#[tokio::test]
async fn a_backup_that_shrank_by_half_opens_an_alert_that_one_of_the_usual_size_resolves() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    define(world, &json!({ "bytes": 1_000_000 }), &json!({})).await;
    usual(world).await;
    define(world, &json!({ "bytes": 500_000 }), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "size_unusual/docs", "open").await;
    let said = summary(world, "size_unusual/docs").await;
    assert_eq!(said, "the last good backup of docs has 500000 bytes; 1000000 are usual");
    define(world, &json!({ "bytes": 1_000_000 }), &json!({})).await;
    back_up(world, "docs").await;
    until(world, "size_unusual/docs", "resolved").await;
    watched.stop().await;
}
