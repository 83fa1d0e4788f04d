//! Targets that are taken away and brought back.

use harness::{World, eventually};
use serde_json::json;

#[tokio::test]
async fn a_detached_target_counts_when_a_probe_could_not_reach_it_and_copies_wait_for_its_return() {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let away = json!({ "media": "removable", "site": "safe", "isolation": "detached" });
    world
        .apply(&json!({
            "targets": [world.target("disk-a", &json!({})), world.target("usb", &away)],
            "jobs": [world.files_job("docs", &["disk-a", "usb"])],
        }))
        .await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let backup = ["enqueue", "backup", "--job", "docs", "--wait"];
    assert_eq!(world.producer(&backup).await.code, 0);
    world.wait_until_idle().await;
    let isolated = "select answer from verdict where rule = '1-isolated'";
    assert_eq!(world.text(isolated).await.as_deref(), Some("fail"));

    // It is still in reach: the detach alone is no evidence.
    let (plugged, drawer) = (world.path("repositories/usb"), world.path("drawer"));
    let detach = ["target", "detach", "usb", "--timeout", "60s"];
    let taking_away = async {
        let detached = "select count(*) from target where name = 'usb' and state = 'detached'";
        eventually("the target is detached", async || (world.number(detached).await == 1).then_some(()))
            .await;
        let reached = "select count(*) from evidence where kind = 'reached'";
        eventually("a probe still reached it", async || (world.number(reached).await > 0).then_some(()))
            .await;
        assert_eq!(world.text(isolated).await.as_deref(), Some("fail"));
        std::fs::rename(&plugged, &drawer).unwrap();
    };
    let (run, ()) = tokio::join!(world.producer(&detach), taking_away);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.text(isolated).await.as_deref(), Some("pass"));
    let failing = "select string_agg(rule || ': ' || reason, '; ') from verdict where answer not in ('pass', 'warning')";
    assert_eq!(world.text(failing).await, None);

    // The next backup's copy is due, not failed.
    assert_eq!(world.producer(&backup).await.code, 0);
    world.wait_until_idle().await;
    let waiting =
        "select count(*) from task where kind = 'copy' and waiting_for = 'target:usb' and attempt = 0";
    assert_eq!(world.number(waiting).await, 1);
    assert_eq!(world.number("select count(*) from execution where outcome <> 'success'").await, 0);

    std::fs::rename(&drawer, &plugged).unwrap();
    let run = world.producer(&["target", "attach", "usb"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    world.wait_until_idle().await;
    assert_eq!(world.number("select count(*) from restore_point").await, 4);
    assert_eq!(world.number("select count(*) from task").await, 0);
    assert_eq!(world.text(isolated).await.as_deref(), Some("fail"), "it is in reach again");
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_detach_waits_for_whoever_uses_the_repository() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let hold = "insert into repository_lock (target_id, task_id, epoch, exclusive, expires_at)
         select id, gen_random_uuid(), 1, false, now() + interval '1 hour' from target";
    world.execute(hold).await;
    let run = world.producer(&["target", "detach", "disk-a", "--timeout", "2s"]).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert_eq!(world.text("select state from target").await.as_deref(), Some("attached"));
    world.execute("delete from repository_lock").await;
    let run = world.producer(&["target", "detach", "disk-a", "--timeout", "20s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.text("select state from target").await.as_deref(), Some("detached"));
}
