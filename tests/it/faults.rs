//! The short forms of faults, and the checks that all of them rest on. `cargo xtask faults` has the full ones.

use harness::faults::{self, Arena, Findings, Form, Report, Screen};
use harness::{Servers, World, eventually};
use serde_json::json;

/// Brings a fault about in its short form; nothing may be lost, doubled or stale, and its own bar has to be met.
async fn survives(name: &str) {
    let fault = faults::find(name).unwrap();
    let report = fault.run(&Servers::from_environment(), Form::Short, &Screen::default()).await;
    assert!(report.passed, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_and_double_nothing_and_leave_no_writer_behind() {
    survives("T1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_vanishes_without_a_word_costs_running_tasks_no_attempt() {
    survives("T3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_workers_that_go_on_are_fenced() {
    survives("T5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_of_the_database_shorter_than_a_lease_cost_running_tasks_no_attempt() {
    survives("T6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_kills_its_workers_ends_dead_and_takes_no_neighbour_along() {
    survives("T11").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_producers_miss_and_double_no_due_time() {
    survives("T12").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_notifiers_lose_and_double_no_notification() {
    survives("T14").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_and_strict_rates_hold_while_workers_join_leave_die_and_hang() {
    survives("limits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_stopped_reporters_roll_each_attempt_up_once() {
    survives("rollups").await;
}

/// An arena in which one task was done, with whatever is planted in it afterwards.
async fn after_one_task(plant: impl AsyncFnOnce(&World, &str)) -> Report {
    let arena = Arena::on(&Servers::from_environment(), "planted", Form::Short, &Screen::default()).await;
    arena.define([("short".to_owned(), json!({}))]).await;
    let worker = arena.worker("w1", &[]);
    let task = arena.load.publish(&faults::restore("short")).await;
    eventually("the task is done", async || {
        (arena.number("select count(*) from execution").await == Some(1)).then_some(())
    })
    .await;
    arena.drain().await;
    drop(worker);
    plant(&arena.world, &task.to_string()).await;
    let findings = Findings { load: "one task".to_owned(), recovery: None, bars: Vec::new() };
    let directory = arena.world.path("");
    let report = arena.close(findings).await.unwrap();
    // Kept for whoever looks into a failure; these were planted.
    _ = std::fs::remove_dir_all(directory);
    report
}

/// Lost, doubled, stale.
fn counts(report: &Report) -> [usize; 3] {
    assert_eq!(report.passed, report.violations.is_empty(), "{report:#?}");
    [report.lost, report.doubled, report.stale_commits]
}

#[tokio::test]
async fn the_checks_find_nothing_where_nothing_is_wrong() {
    assert_eq!(counts(&after_one_task(async |_, _| {}).await), [0, 0, 0]);
}

#[tokio::test]
async fn the_checks_find_a_lost_task() {
    let report = after_one_task(async |world, task| {
        world.execute(&format!("update execution set outcome = 'lost' where task_id = '{task}'")).await;
    });
    assert_eq!(counts(&report.await), [1, 0, 0]);
}

#[tokio::test]
async fn the_checks_find_a_message_that_was_left_in_its_queue() {
    let report = after_one_task(async |world, task| {
        let body = json!({ "version": 1, "id": task, "kind": "restore", "job": "short" });
        world.broker.publish("restore.normal", &[body.to_string().into()]).await;
    });
    assert_eq!(counts(&report.await), [1, 0, 0]);
}

#[tokio::test]
async fn the_checks_find_a_doubled_result() {
    let report = after_one_task(async |world, task| {
        let copy = "insert into execution (task_id, kind, job_id, requested_by, enqueued_at, epoch, attempt, \
                 outcome, started_at, seconds)
             select task_id, kind, job_id, requested_by, enqueued_at, epoch, attempt, outcome, started_at, seconds
             from execution";
        world.execute(&format!("{copy} where task_id = '{task}'")).await;
    });
    assert_eq!(counts(&report.await), [0, 1, 0]);
}

#[tokio::test]
async fn the_checks_find_a_result_of_an_owner_that_never_began() {
    let report = after_one_task(async |world, task| {
        world.execute(&format!("update execution set epoch = 7 where task_id = '{task}'")).await;
    });
    assert_eq!(counts(&report.await), [0, 0, 1]);
}

#[tokio::test]
async fn the_checks_find_an_effect_of_an_owner_after_the_next_one_began() {
    let report = after_one_task(async |world, task| {
        let path = world.path("effects.jsonl");
        let effects = std::fs::read_to_string(&path).unwrap();
        let began: u64 = serde_json::from_str::<serde_json::Value>(effects.lines().next().unwrap()).unwrap()
            ["at_ns"]
            .as_u64()
            .unwrap();
        let late = json!({ "at_ns": began + 1, "worker": uuid::Uuid::now_v7(), "task": task, "epoch": 0,
            "effect": "tick" });
        std::fs::write(&path, format!("{effects}{late}\n")).unwrap();
    });
    assert_eq!(counts(&report.await), [0, 1, 0]);
}
