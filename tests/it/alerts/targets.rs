//! Targets on which everything fails.

use super::*;

/// Two jobs on one target.
async fn define_both(world: &World, source: &Value) {
    let jobs = json!([job(world, "docs", source), job(world, "mail", source)]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
}

#[tokio::test]
async fn a_target_on_which_the_tasks_of_two_jobs_fail_explains_what_is_wrong_with_them() {
    let world = World::new().await;
    define_both(&world, &json!({ "failure_rate": 1.0 })).await;
    let watched = Watched::over(world).await;
    let world = &watched.world;
    for _ in 0..3 {
        back_up(world, "docs").await;
    }
    until(world, "backups_failing/docs", "open").await;
    assert_eq!(states(world, "target_failing/disk-a").await, [""; 0], "it may be the job");
    back_up(world, "mail").await;
    until(world, "target_failing/disk-a", "open").await;
    let explained =
        "select count(*) from alert where state = 'open' and suppressed_by = 'alert:target_failing/disk-a'";
    eventually("the jobs' own alerts are explained", async || {
        (world.number(explained).await == 3).then_some(())
    })
    .await;
    let mail = history(world, "backup_failed/mail").await;
    assert!(
        mail.ends_with(&["opened alert:target_failing/disk-a".to_owned()]) || mail.len() == 2,
        "{mail:?}"
    );

    define_both(world, &json!({})).await;
    back_up(world, "mail").await;
    until(world, "target_failing/disk-a", "resolved").await;
    // Now it is the job's own affair.
    eventually("the job's alert is told", async || {
        let told = history(world, "backups_failing/docs").await;
        (told.last().map(String::as_str) == Some("released")).then_some(())
    })
    .await;
    watched.stop().await;
}

#[tokio::test]
async fn a_target_is_not_to_blame_for_sources_that_are_not_there() {
    let world = World::new().await;
    let jobs = ["docs", "mail"].map(|name| {
        let mut job = world.files_job(name, &["disk-a"]);
        job["source"]["paths"] = json!([world.path("nowhere")]);
        job["tries"] = json!({ "backup": { "attempts": 1 } });
        job
    });
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let watched = Watched::over(world).await;
    let world = &watched.world;
    for name in ["docs", "docs", "docs", "mail"] {
        back_up(world, name).await;
    }
    until(world, "backups_failing/docs", "open").await;
    until(world, "backup_failed/mail", "open").await;
    assert!(summary(world, "backup_failed/mail").await.contains("does not exist"));
    assert_eq!(world.number("select count(*) from target_health").await, 0);
    assert_eq!(world.number("select count(*) from alert where suppressed_by like 'alert:target%'").await, 0);
    watched.stop().await;
}

#[tokio::test]
async fn a_target_that_a_probe_could_not_reach_is_told_of_until_something_has() {
    let watched = Watched::new(&json!({})).await;
    let world = &watched.world;
    define(world, &json!({ "failure_rate": 1.0 }), &json!({})).await;
    let probe = ["enqueue", "probe", "--job", "docs", "--param", "target=disk-a", "--wait"];
    assert_eq!(world.producer(&probe).await.code, 1);
    until(world, "target_failing/disk-a", "open").await;
    assert!(summary(world, "target_failing/disk-a").await.starts_with("a probe could not reach disk-a at"));
    define(world, &json!({}), &json!({})).await;
    assert_eq!(world.producer(&probe).await.code, 0);
    until(world, "target_failing/disk-a", "resolved").await;
    watched.stop().await;
}
