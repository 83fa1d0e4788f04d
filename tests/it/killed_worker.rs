//! A worker that is killed in the middle of a backup.

use std::fs;

use harness::{World, count_files, eventually, hold_inside_backup, noise};
use rustix::process::{Signal, kill_process, test_kill_process};
use serde_json::json;

/// Large enough that the engine is still writing packs long after the first one is there.
const SOURCE_BYTES: usize = 256 * 1024 * 1024;

#[tokio::test]
async fn a_backup_survives_the_sigkill_of_its_worker_with_one_result_a_task() {
    let world = World::new().await;
    world.write("source/large", noise(SOURCE_BYTES));
    let away = json!({ "media": "removable", "site": "safe", "isolation": "detached" });
    world
        .apply(&json!({
            "targets": [
                world.target("disk-a", &json!({})),
                world.target("nas-b", &json!({ "media": "nas", "site": "branch" })),
                world.target("usb", &away),
            ],
            "jobs": [world.files_job("docs", &["disk-a", "nas-b", "usb"])],
        }))
        .await;
    let producer = world.start_producer();
    let mut first = world.start_worker("w1", &[]);
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs"]).await.code, 0);

    // The barrier: data is in the repository, its snapshot is not, and the engine is held right there.
    let repository = world.path("repositories/disk-a");
    let engine = hold_inside_backup(&repository, first.pid());
    assert_eq!(count_files(&repository, "snapshots"), 0, "the backup was over before it could be held");
    first.kill().await.unwrap();
    kill_process(engine, Signal::CONT).unwrap();
    eventually("the engine has ended with its worker", async || {
        test_kill_process(engine).is_err().then_some(())
    })
    .await;
    assert_eq!(count_files(&repository, "snapshots"), 0, "the orphaned engine has written its snapshot");

    let second = world.start_worker("w2", &[]);
    eventually("all is copied and verified", async || {
        (world.number("select count(*) from execution where outcome <> 'lost'").await == 12).then_some(())
    })
    .await;
    let detach = world.producer(&["target", "detach", "usb", "--timeout", "50s"]);
    let taking_away = async {
        let detached = "select count(*) from target where name = 'usb' and state = 'detached'";
        eventually("the target is detached", async || (world.number(detached).await == 1).then_some(()))
            .await;
        fs::rename(world.path("repositories/usb"), world.path("drawer")).unwrap();
    };
    let (run, ()) = tokio::join!(detach, taking_away);
    assert_eq!(run.code, 0, "{run:?}");

    let failing = "select string_agg(rule || ': ' || reason, '; ') from verdict where answer not in ('pass', 'warning')";
    assert_eq!(world.text(failing).await, None);
    assert_eq!(world.number("select count(*) from verdict").await, 5);
    let results = "select count(*) from (select task_id from execution where outcome <> 'lost'
         group by task_id having count(*) <> 1) t";
    assert_eq!(world.number(results).await, 0, "a task has not exactly one committed result");
    assert_eq!(world.number("select count(*) from execution where outcome = 'lost'").await, 1);
    let dead = "select string_agg(kind || ' ' || last_error, '; ') from dead_task";
    assert_eq!(world.text(dead).await, None);
    assert_eq!(count_files(&repository, "snapshots"), 1);
    world.check_invariants().await;
    world.stop(second).await;
    world.stop(producer).await;
}
