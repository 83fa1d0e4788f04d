//! What the evidence of a job says of it.

use super::*;

/// At once, because backups and their verification take no time here.
fn at_once(rule: &str) -> Value {
    json!({ rule: { "for": "0s" } })
}

/// The job `docs` on a disk, and a copy on a medium that can be taken away.
async fn world_with_usb(rules: &Value) -> World {
    let world = World::new().await;
    let usb = json!({ "media": "removable", "site": "safe", "isolation": "detached" });
    let targets = json!([world.target("disk-a", &json!({})), world.target("usb", &usb)]);
    let job = world.simulated_job("docs", &["disk-a", "usb"], &json!({}));
    world.apply(&json!({ "targets": targets, "jobs": [job], "alerts": rules })).await;
    world
}

async fn backed_up(world: World) -> Watched {
    let watched = Watched::over(world).await;
    back_up(&watched.world, "docs").await;
    watched.world.wait_until_idle().await;
    watched
}

/// Has the job judged again, by a change that changes nothing else.
async fn judge_again(world: &World, rto: &str) {
    let stored = world.producer(&["export", "--json", "--job", "docs"]).await.json();
    let mut job = stored["jobs"][0].clone();
    job["rto"] = json!(rto);
    world.apply(&json!({ "jobs": [job] })).await;
}

#[tokio::test]
async fn a_rule_that_a_job_does_not_keep_is_told_of_until_it_keeps_all_five() {
    let watched = backed_up(world_with_usb(&at_once("verdict_failing")).await).await;
    let world = &watched.world;
    until(world, "verdict_failing/docs", "open").await;
    let isolated = async || summary(world, "verdict_failing/docs").await == "docs does not keep 1-isolated";
    eventually("only one is left", async || isolated().await.then_some(())).await;
    let run = world.producer(&["target", "detach", "usb", "--timeout", "30s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    until(world, "verdict_failing/docs", "resolved").await;
    watched.stop().await;
}

#[tokio::test]
async fn what_nobody_ever_looked_at_is_told_of_until_somebody_has() {
    let watched = backed_up(world_with_usb(&at_once("verdict_unknown")).await).await;
    let world = &watched.world;
    look(world).await;
    // Before the first backup nobody had looked.
    assert_ne!(states(world, "verdict_unknown/docs").await, ["open"]);
    // It was taken away without a word: nobody has made an inventory.
    world.execute("update target set state = 'detached', updated_at = now() where name = 'usb'").await;
    let probe = ["enqueue", "probe", "--job", "docs", "--param", "target=usb", "--wait"];
    assert_eq!(world.producer(&probe).await.code, 0);
    until(world, "verdict_unknown/docs", "open").await;
    assert_eq!(world.producer(&["target", "attach", "usb"]).await.code, 0);
    until(world, "verdict_unknown/docs", "resolved").await;
    watched.stop().await;
}

#[tokio::test]
async fn evidence_that_expires_soon_is_told_of_until_there_is_new_one() {
    let watched = backed_up(world_with_usb(&at_once("verdict_expiring")).await).await;
    let world = &watched.world;
    look(world).await;
    assert_eq!(states(world, "verdict_expiring/docs").await, [""; 0]);
    // Of the 26 hours that it may be old, less than a fifth are left.
    age(world, "{restore_point,says,data_time}", "24 hours").await;
    judge_again(world, "1h").await;
    until(world, "verdict_expiring/docs", "open").await;
    back_up(world, "docs").await;
    world.wait_until_idle().await;
    until(world, "verdict_expiring/docs", "resolved").await;
    watched.stop().await;
}

/// Moves the time of a fact about the first target into the past.
async fn age(world: &World, path: &str, by: &str) {
    let statement = format!(
        "update compliance set facts = jsonb_set(facts::jsonb, array[(select id::text from target where name = 'disk-a')] || \
             '{path}'::text[], to_jsonb(now() - interval '{by}'))::json"
    );
    world.execute(&statement).await;
}

#[tokio::test]
async fn a_copy_that_was_not_verified_in_time_is_told_of_until_it_is() {
    let watched = backed_up(world_with_usb(&json!({})).await).await;
    let world = &watched.world;
    look(world).await;
    assert_eq!(states(world, "verification_overdue/docs").await, [""; 0]);
    age(world, "{read,at}", "31 days").await;
    judge_again(world, "1h").await;
    until(world, "verification_overdue/docs", "open").await;
    let said = summary(world, "verification_overdue/docs").await;
    assert_eq!(said, "the verification of docs is overdue: read on disk-a");
    let verify =
        ["enqueue", "verify", "--job", "docs", "--param", "target=disk-a", "--param", "level=read", "--wait"];
    assert_eq!(world.producer(&verify).await.code, 0);
    until(world, "verification_overdue/docs", "resolved").await;
    watched.stop().await;
}
