//! Bad messages go to the dead letters with their reason; the pool goes on.

use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

fn task(job: &str) -> Value {
    json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": job })
}

fn without(mut task: Value, field: &str) -> Value {
    task.as_object_mut().unwrap().remove(field);
    task
}

fn with(mut task: Value, field: &str, value: Value) -> Value {
    task[field] = value;
    task
}

async fn world_with_a_job() -> World {
    let world = World::new().await;
    let idle = with(world.simulated_job("idle", &["disk-a"], &json!({})), "active", json!(false));
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({})), idle]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

#[tokio::test]
async fn each_bad_message_is_dead_lettered_with_its_reason_and_the_next_good_one_runs() {
    let world = world_with_a_job().await;
    let worker = world.start_worker("w1", &[]);
    // The refusal quotes it, and headers must fit into a frame.
    let quoted = json!({ "target": "disk-a", "level": "x".repeat(16_300) });
    let quoted = with(with(task("sim"), "kind", json!("verify")), "params", quoted);
    let bad: Vec<(Vec<u8>, &str, &str)> = vec![
        (b"not json".to_vec(), "not_json", "JSON"),
        (vec![b'{'; 300 * 1024], "too_large", "bytes"),
        (without(task("sim"), "id").to_string().into(), "missing_field", "id"),
        (without(task("sim"), "job").to_string().into(), "missing_field", "job"),
        (with(task("sim"), "kind", json!("explode")).to_string().into(), "unknown_kind", "explode"),
        (with(task("sim"), "version", json!(2)).to_string().into(), "unknown_version", "2"),
        (task("nobody").to_string().into(), "unknown_job", "nobody"),
        (task("idle").to_string().into(), "inactive_job", "idle"),
        (with(task("sim"), "priority", json!("high")).to_string().into(), "misrouted", "backup.high"),
        (quoted.to_string().into(), "invalid_field", "unknown variant"),
    ];
    let bodies: Vec<Vec<u8>> = bad.iter().map(|(body, ..)| body.clone()).collect();
    world.broker.publish("backup.normal", &bodies).await;
    world.broker.publish("backup", &[task("sim").to_string().into()]).await;

    let mut letters = world.broker.dead_letters(bad.len()).await;
    for (body, reason, detail) in &bad {
        let found =
            letters.iter().position(|letter| letter.reason() == *reason && letter.detail().contains(detail));
        let letter =
            letters.remove(found.unwrap_or_else(|| panic!("{reason}, {detail}: not among {letters:#?}")));
        assert_eq!(letter.headers["x-holdfast-queue"], "holdfast.backup.normal");
        assert!(letter.detail().len() <= 1002, "{} bytes of detail", letter.detail().len());
        if *reason == "not_json" || *reason == "too_large" {
            assert_eq!(letter.body.as_bytes(), body);
        }
    }
    eventually("the good task is done", async || {
        (world.number("select count(*) from execution where outcome = 'success'").await >= 1).then_some(())
    })
    .await;
    assert_eq!(world.broker.ready("holdfast.backup.normal").await, 0);
    world.stop(worker).await;
}

#[tokio::test]
async fn one_bad_task_among_many_is_dead_lettered_alone() {
    let world = world_with_a_job().await;
    let worker = world.start_worker("w1", &[]);
    let mut tasks: Vec<Value> = (0..20).map(|_| without(task("sim"), "version")).collect();
    tasks[7] = json!({ "id": Uuid::now_v7(), "kind": "backup", "job": "nobody", "note": "keep me out" });
    tasks[9] = json!({ "kind": "backup", "job": "sim" });
    world
        .broker
        .publish("backup.normal", &[json!({ "version": 1, "tasks": tasks }).to_string().into()])
        .await;

    let letters = world.broker.dead_letters(2).await;
    let mut reasons: Vec<&str> = letters.iter().map(harness::DeadLetter::reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["missing_field", "unknown_job"]);
    assert!(letters.iter().all(|letter| letter.body.len() < 400), "{letters:?}");
    eventually("the others are done", async || {
        (world.number("select count(*) from execution where kind = 'backup'").await == 18).then_some(())
    })
    .await;
    world.check_invariants().await;
    world.stop(worker).await;
}

#[tokio::test]
async fn an_unknown_job_does_not_use_its_id_up() {
    let world = world_with_a_job().await;
    let worker = world.start_worker("w1", &[]);
    let message = task("later");
    world.broker.publish("backup.normal", &[message.to_string().into()]).await;
    assert_eq!(world.broker.dead_letters(1).await[0].reason(), "unknown_job");
    let later = world.simulated_job("later", &["disk-a"], &json!({}));
    world.apply(&json!({ "targets": [], "jobs": [later] })).await;
    world.broker.publish("backup.normal", &[message.to_string().into()]).await;
    eventually("the task is done", async || {
        (world.number("select count(*) from execution where outcome = 'success'").await >= 1).then_some(())
    })
    .await;
    world.stop(worker).await;
}

#[tokio::test]
async fn a_kind_that_only_holdfast_itself_asks_for_is_dead_lettered_from_its_own_queue() {
    let world = world_with_a_job().await;
    let worker = world.start_worker("w1", &[]);
    world
        .broker
        .publish(
            "maintain.normal",
            &[without(with(task("sim"), "kind", json!("maintain")), "job").to_string().into()],
        )
        .await;
    let letters = world.broker.dead_letters(1).await;
    assert_eq!(letters[0].reason(), "unknown_kind");
    assert!(letters[0].detail().contains("only Holdfast itself"), "{letters:?}");
    world.stop(worker).await;
}
