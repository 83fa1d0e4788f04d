//! Limits: caps and rates over all workers together, and fair lines of those that wait.

mod lines;

use devstack::Service;
use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// Two targets, and a job on each: `a` of the owner `ops`, `b` of `dev`.
async fn world(source: &Value, limits: &Value) -> World {
    let world = World::new().await;
    define(&world, source, limits).await;
    world
}

async fn define(world: &World, source: &Value, limits: &Value) {
    let of = |key: &str| limits.get(key).map_or_else(|| json!({}), |limits| json!({ "limits": limits }));
    let job = |name: &str, target: &str, owner: &str| {
        let mut job = world.simulated_job(name, &[target], source);
        job["owner"] = json!(owner);
        job
    };
    let definitions = json!({
        "targets": [world.target("disk-a", &of("disk-a")), world.target("disk-b", &of("disk-b"))],
        "jobs": [job("a", "disk-a", "ops"), job("b", "disk-b", "dev")],
        "limits": limits.get("others").cloned().unwrap_or_else(|| json!([])),
    });
    world.apply(&definitions).await;
}

async fn publish(world: &World, job: &str, tasks: usize) {
    for chunk in (0..tasks).collect::<Vec<_>>().chunks(500) {
        let tasks: Vec<Value> =
            chunk.iter().map(|_| json!({ "id": Uuid::now_v7(), "kind": "backup", "job": job })).collect();
        let body = json!({ "version": 1, "tasks": tasks }).to_string();
        world.broker.publish("backup.normal", &[body.into()]).await;
    }
}

fn worker(world: &World, name: &str, slots: &str) -> Service {
    let log = world.path("effects");
    let settings = [("HOLDFAST_POOLS_BACKUP_SLOTS", slots), ("HOLDFAST_EFFECT_LOG", log.to_str().unwrap())];
    world.start_worker(name, &settings)
}

async fn until(world: &World, what: &str, statement: &str, number: i64) {
    eventually(what, async || (world.number(statement).await == number).then_some(())).await;
}

const DONE: &str = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
const RUNNING: &str = "select count(*) from lease where kind = 'backup'";
const IN_LINE: &str = "select count(*) from task where waiting_for like 'limit:%'";

/// What pretended work wrote down: for each effect its moment, in nanoseconds.
fn effects(world: &World, effect: &str) -> Vec<u64> {
    let log = std::fs::read_to_string(world.path("effects")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut moments: Vec<u64> =
        lines.filter(|line| line["effect"] == effect).map(|line| line["at_ns"].as_u64().unwrap()).collect();
    moments.sort_unstable();
    moments
}

/// The most tasks that were at work at one moment.
fn most_at_once(world: &World) -> i32 {
    let began = effects(world, "started").into_iter().map(|at| (at, 1));
    let ended = effects(world, "done").into_iter().map(|at| (at, -1));
    let mut changes: Vec<(u64, i32)> = began.chain(ended).collect();
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    most
}

/// The counts of caps are those of the leases.
async fn check_caps(world: &World) {
    let wrong = "select count(*) from cap c where running <>
         (select count(*) from lease l where l.caps @> array[c.key])";
    assert_eq!(world.number(wrong).await, 0, "a cap counts other tasks than those that run");
    let orphans = "select count(*) from task t where waiting_for like 'limit:%' and not exists (
         select from line l where l.waiting_for = t.waiting_for and l.kind = t.kind and l.owner = t.owner
             and l.priority = t.priority)";
    assert_eq!(world.number(orphans).await, 0, "a task stands in no line");
    world.check_invariants().await;
}

#[tokio::test]
async fn no_more_tasks_of_a_target_run_at_once_than_its_cap_allows_on_however_many_workers() {
    let world = world(&json!({ "duration": "100ms" }), &json!({ "disk-a": { "concurrency": 2 } })).await;
    let workers = [worker(&world, "w1", "10"), worker(&world, "w2", "10"), worker(&world, "w3", "10")];
    publish(&world, "a", 60).await;
    until(&world, "all have run", DONE, 60).await;
    assert_eq!(most_at_once(&world), 2);
    until(&world, "nothing runs", "select running::bigint from cap", 0).await;
    check_caps(&world).await;
    for worker in workers {
        world.stop(worker).await;
    }
}

#[tokio::test]
async fn tasks_that_wait_for_one_target_hold_up_no_others() {
    let world = world(&json!({ "duration": "10m" }), &json!({ "disk-a": { "concurrency": 1 } })).await;
    let worker = worker(&world, "w1", "4");
    publish(&world, "a", 1000).await;
    until(&world, "one runs and the others stand in line", IN_LINE, 999).await;
    let quick = json!([world.simulated_job("quick", &["disk-b"], &json!({}))]);
    world.apply(&json!({ "targets": [], "jobs": quick })).await;
    publish(&world, "quick", 100).await;
    until(&world, "the others have run", DONE, 100).await;
    assert_eq!((world.number(RUNNING).await, world.number(IN_LINE).await), (1, 999));
    check_caps(&world).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn a_task_that_ends_makes_room_for_one_that_waits_whoever_ran_it() {
    let limits = json!({ "others": [{ "pool": "backup", "concurrency": 3 }] });
    let world = world(&json!({ "duration": "20ms" }), &limits).await;
    let workers = [worker(&world, "w1", "2"), worker(&world, "w2", "2")];
    publish(&world, "a", 150).await;
    publish(&world, "b", 150).await;
    until(&world, "all have run", DONE, 300).await;
    assert!(most_at_once(&world) <= 3);
    until(&world, "no line is left", "select count(*) from line", 0).await;
    check_caps(&world).await;
    for worker in workers {
        world.stop(worker).await;
    }
}

/// Whether in each stretch of time no more began than a burst and the rate allow.
fn check_rate(starts: &[u64], per_second: f64, burst: usize) {
    for (first, began) in starts.iter().enumerate() {
        for (last, until) in starts.iter().enumerate().skip(first + burst) {
            let seconds = (until - began) as f64 / 1e9;
            let allowed = burst as f64 + seconds * per_second;
            assert!((last - first + 1) as f64 <= allowed + 1e-6, "{first} to {last} within {seconds} s");
        }
    }
}

#[tokio::test]
async fn a_strict_rate_is_never_exceeded_while_workers_come_go_and_die() {
    let limit = json!({ "starts_per_minute": 600, "burst": 12, "strict": true });
    let world = world(&json!({}), &json!({ "disk-a": limit })).await;
    let producer = world.start_producer();
    let (mut lost, leaving) = (worker(&world, "w1", "10"), worker(&world, "w2", "10"));
    publish(&world, "a", 120).await;
    eventually("some have run", async || (world.number(DONE).await >= 30).then_some(())).await;
    lost.kill().await.unwrap();
    let joining = worker(&world, "w3", "10");
    eventually("more have run", async || (world.number(DONE).await >= 60).then_some(())).await;
    world.stop(leaving).await;
    until(&world, "all have run", DONE, 120).await;
    check_rate(&effects(&world, "started"), 10.0, 12);
    check_caps(&world).await;
    world.stop(joining).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn workers_share_a_rate_by_their_slots() {
    let limits = json!({ "others": [{ "owner": "ops", "starts_per_minute": 600 }] });
    let world = world(&json!({}), &limits).await;
    let workers = [worker(&world, "w1", "10"), worker(&world, "w2", "30")];
    let shared = "select count(*) from worker where (shares ->> 'all')::float8 > 0";
    until(&world, "both have taken their parts", shared, 2).await;
    let before = world.number("select count(*) from execution").await;
    publish(&world, "a", 80).await;
    until(&world, "all have run", DONE, 80).await;
    assert_eq!(before, 0);
    // Both may start one before the other's first, and each has what a whole period saved up.
    check_rate(&effects(&world, "started"), 10.0, 4);
    let by_worker =
        "select count(*) from execution where worker_id = (select id from worker where name = 'w1')";
    let few = world.number(by_worker).await;
    assert!((10..=30).contains(&few), "a quarter of the slots started {few} of 80");
    for worker in workers {
        world.stop(worker).await;
    }
}

#[tokio::test]
async fn a_cap_that_is_set_while_tasks_run_counts_them_and_one_that_is_cleared_holds_up_nobody() {
    let world = world(&json!({ "duration": "2s" }), &json!({})).await;
    let worker = worker(&world, "w1", "20");
    publish(&world, "a", 3).await;
    until(&world, "three run", RUNNING, 3).await;
    let set = world.producer(&["limits", "set", "target:disk-a", "--concurrency", "2"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(world.number("select running::bigint from cap where key = 'target:disk-a'").await, 3);
    publish(&world, "a", 10).await;
    until(&world, "the others stand in line", IN_LINE, 10).await;
    let listed = world.producer(&["limits", "list", "--json"]).await.json();
    assert_eq!(
        (&listed[0]["key"], &listed[0]["origin"]),
        (&json!("target:disk-a"), &json!("live")),
        "{listed}"
    );
    eventually("two of them run", async || {
        (world.number(DONE).await >= 3 && world.number(RUNNING).await == 2).then_some(())
    })
    .await;
    assert_eq!(world.producer(&["limits", "clear", "target:disk-a"]).await.code, 0);
    eventually("more than two run", async || (world.number(RUNNING).await > 2).then_some(())).await;
    until(&world, "all have run", DONE, 13).await;
    check_caps(&world).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn definitions_and_live_settings_of_a_limit_stand_beside_each_other() {
    let world = world(&json!({}), &json!({ "disk-a": { "concurrency": 5 } })).await;
    let limit = async || world.producer(&["limits", "list", "--json"]).await.json()[0].clone();
    assert_eq!((&limit().await["concurrency"], &limit().await["origin"]), (&json!(5), &json!("definitions")));
    assert_eq!(world.producer(&["limits", "set", "target:disk-a", "--concurrency", "7"]).await.code, 0);
    define(&world, &json!({}), &json!({ "disk-a": { "concurrency": 6 } })).await;
    let both = limit().await;
    assert_eq!((&both["concurrency"], &both["definitions"]["concurrency"]), (&json!(7), &json!(6)));
    assert_eq!(world.number("select most::bigint from cap").await, 7);
    assert_eq!(world.producer(&["limits", "clear", "target:disk-a"]).await.code, 0);
    assert_eq!(world.number("select most::bigint from cap").await, 6);
    // No limit at all, while the definitions have one.
    assert_eq!(world.producer(&["limits", "set", "target:disk-a", "--concurrency", "none"]).await.code, 0);
    assert_eq!(world.number("select count(*) from cap").await, 0);
    assert_eq!(world.producer(&["limits", "clear", "target:disk-a"]).await.code, 0);
    assert_eq!(world.number("select most::bigint from cap").await, 6);
    let run = world.producer(&["limits", "clear", "target:disk-a"]).await;
    assert!(run.code == 2 && run.stderr.contains("--definitions"), "{run:?}");
    assert_eq!(world.producer(&["limits", "clear", "target:disk-a", "--definitions"]).await.code, 0);
    assert_eq!(world.number("select count(*) from cap").await, 0);
    define(&world, &json!({}), &json!({ "disk-a": { "concurrency": 6 } })).await;
    define(&world, &json!({}), &json!({})).await;
    assert_eq!(world.number("select count(*) from cap").await, 0);
    let again = world.producer(&["limits", "clear", "target:disk-a"]).await;
    assert_eq!(again.code, 2, "{again:?}");
}

#[tokio::test]
async fn a_limit_that_makes_no_sense_is_refused_with_its_field() {
    let world = world(&json!({}), &json!({})).await;
    for (arguments, said) in [
        (&["target:disk-a", "--concurrency", "0"][..], "concurrency"),
        (&["target:disk-a", "--concurrency", "-1"], "--concurrency"),
        (&["target:disk-a", "--starts-per-minute", "0"], "starts_per_minute"),
        (&["target:disk-a", "--starts-per-minute", "NaN"], "starts_per_minute"),
        (&["target:disk-a", "--starts-per-minute", "60", "--burst", "9", "--concurrency", "3"], "burst"),
        (&["pool:backup", "--burst", "9"], "burst"),
        (&["pool:backup", "--bytes-per-second", "1MiB"], "bytes_per_second"),
        (&["pool:backup"], "nothing to set"),
        (&["pool:backup", "--weight", "none"], "limits nothing"),
        (&["pool:backups", "--concurrency", "1"], "pool:backups"),
        (&["target:disk-z", "--concurrency", "1"], "disk-z"),
        (&["owner:nobody", "--concurrency", "1"], "owner:nobody"),
        (&["source:nowhere", "--concurrency", "1"], "source:nowhere"),
        (&["nonsense", "--concurrency", "1"], "nonsense"),
        (&["owner:ops", "--weight", "1000"], "weight"),
    ] {
        let run = world.producer(&[&["limits", "set"], arguments].concat()).await;
        assert!(run.code == 2 && run.stderr.contains(said), "{arguments:?}: {run:?}");
    }
    assert_eq!(world.number("select count(*) from limit_setting").await, 0);
}

#[tokio::test]
async fn a_message_cannot_raise_its_priority_beyond_what_its_job_allows() {
    let world = world(&json!({}), &json!({})).await;
    let message =
        json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": "a", "priority": "high" });
    world.broker.publish("backup.high", &[message.to_string().into()]).await;
    let worker = worker(&world, "w1", "4");
    let letters = world.broker.dead_letters(1).await;
    assert_eq!(letters[0].reason(), "priority_too_high");
    assert!(letters[0].detail().contains("\"a\" takes no tasks of high priority"), "{letters:?}");
    assert_eq!(
        world.number("select count(*) from known_id").await,
        0,
        "it may be published again as it should be"
    );
    world.stop(worker).await;
}

#[tokio::test]
async fn a_task_in_line_can_be_cancelled_and_shows_what_it_waits_for() {
    let world = world(&json!({ "duration": "10m" }), &json!({ "disk-a": { "concurrency": 1 } })).await;
    let worker = worker(&world, "w1", "4");
    publish(&world, "a", 2).await;
    until(&world, "one stands in line", IN_LINE, 1).await;
    let id = world.text("select id::text from task").await.unwrap();
    let shown = world.producer(&["tasks", "show", &id]).await;
    assert!(shown.stdout.contains("limit:target:disk-a"), "{shown:?}");
    let shown = world.producer(&["tasks", "show", &id, "--json"]).await.json();
    assert!(shown["waiting_since"].is_string(), "{shown}");
    assert_eq!(world.producer(&["tasks", "cancel", &id]).await.code, 0);
    assert_eq!(world.number("select count(*) from task").await, 0);
    check_caps(&world).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn caps_are_freed_when_a_worker_is_lost() {
    let world = world(&json!({ "duration": "10m" }), &json!({ "disk-a": { "concurrency": 2 } })).await;
    let producer = world.start_producer();
    let mut lost = worker(&world, "w1", "4");
    publish(&world, "a", 4).await;
    until(&world, "two run", RUNNING, 2).await;
    until(&world, "two stand in line", IN_LINE, 2).await;
    lost.kill().await.unwrap();
    let id = world.text("select id::text from worker").await.unwrap();
    let other = worker(&world, "w2", "4");
    let taken = format!("select count(*) from lease where worker_id <> '{id}'");
    until(&world, "two run elsewhere", &taken, 2).await;
    check_caps(&world).await;
    world.stop(other).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn limits_that_bind_in_turn_let_every_task_through_in_the_end() {
    let limits = json!({ "disk-a": { "concurrency": 1 }, "disk-b": { "concurrency": 2, "starts_per_minute": 3000 }, "others": [
        { "owner": "ops", "starts_per_minute": 1800 }, { "pool": "backup", "concurrency": 2 }] });
    let world = world(&json!({ "duration": "10ms" }), &limits).await;
    let workers = [worker(&world, "w1", "5"), worker(&world, "w2", "5")];
    publish(&world, "a", 60).await;
    publish(&world, "b", 60).await;
    until(&world, "all have run", DONE, 120).await;
    assert!(most_at_once(&world) <= 2);
    until(&world, "no line is left", "select count(*) from line", 0).await;
    check_caps(&world).await;
    for worker in workers {
        world.stop(worker).await;
    }
}
