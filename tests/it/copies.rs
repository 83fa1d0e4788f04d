//! Copies of a task that say something else than its first message: the first counts, also for its limits.

use harness::{World, eventually};
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn a_copy_that_names_another_job_does_not_free_a_task_from_the_limits_of_its_own() {
    let world = World::new().await;
    let jobs = ["a", "b"].map(|owner| {
        let mut job = world.simulated_job(owner, &["disk-a"], &json!({ "duration": "10m" }));
        job["owner"] = json!(owner);
        job
    });
    let limits = ["a", "b"].map(|owner| json!({ "owner": owner, "concurrency": 1 }));
    let targets = [world.target("disk-a", &json!({}))];
    world.apply(&json!({ "targets": targets, "jobs": jobs, "limits": limits })).await;
    let worker = world.start_worker("w1", &[("HOLDFAST_POOLS_BACKUP_SLOTS", "5")]);
    let message = |id: Uuid, job: &str| {
        json!({ "version": 1, "id": id, "kind": "backup", "job": job }).to_string().into_bytes()
    };
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let until = async |what: &str, statement: &str| {
        eventually(what, async || (world.number(statement).await == 1).then_some(())).await;
    };
    world.broker.publish("backup.normal", &[message(first, "a")]).await;
    until("the first runs", "select count(*) from lease").await;
    world.broker.publish("backup.normal", &[message(second, "a")]).await;
    until("the second waits", "select count(*) from task where waiting_for = 'limit:owner:a'").await;

    // Copies come before, while and after the second is called.
    let copies: Vec<_> = (0..20).map(|_| message(second, "b")).collect();
    world.broker.publish("backup.normal", &copies).await;
    let cancelled = world.producer(&["tasks", "cancel", &first.to_string()]).await;
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    for copy in &copies {
        world.broker.publish("backup.normal", std::slice::from_ref(copy)).await;
    }
    let runs = format!("select count(*) from lease where task_id = '{second}' and caps = array['owner:a']");
    until("the second runs under its own caps", &runs).await;
    until("they are counted", "select running::bigint from cap where key = 'owner:a'").await;
    eventually("nobody counts under the other's", async || {
        (world.number("select running::bigint from cap where key = 'owner:b'").await == 0).then_some(())
    })
    .await;
    assert_eq!(
        world.number("select count(*) from lease l join job j on j.id = l.job_id where j.name = 'a'").await,
        1
    );
    world.check_invariants().await;
    world.stop(worker).await;
}
