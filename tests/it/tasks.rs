//! Tasks that wait or run: people see them and end them.

use harness::{Run, World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

async fn world_with_jobs(source: Value) -> World {
    let world = World::new().await;
    let job = |name: &str| world.simulated_job(name, &["disk-a"], &source);
    let jobs = json!([job("docs"), job("mail")]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

async fn enqueue(world: &World, arguments: &[&str]) -> String {
    let id = Uuid::now_v7().to_string();
    let run = world.producer(&[&["enqueue", "--id", &id], arguments].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    id
}

/// A task that runs on a worker which nobody started.
async fn lease(world: &World, kind: &str, job: &str) -> String {
    let (id, worker) = (Uuid::now_v7(), Uuid::now_v7());
    let progress = json!({ "phase": "saving", "bytes_done": 512, "bytes_total": 2048, "files_done": 3,
        "bytes_per_second": 1024 });
    world
        .execute(&format!(
            "insert into worker (id, name, version, pools, batches) values ('{worker}', 'w-far', '1', '{{}}', '{{}}');
             insert into known_id (id) values ('{id}');
             insert into lease (task_id, kind, priority, job_id, params, requested_by, enqueued_at, attempt, rescues, \
                 epoch, worker_id, started_at, lease_until, progress)
             select '{id}', '{kind}', 'normal', id, '{{}}', 'erp', now() - interval '3 hours', 2, 0, 2, '{worker}', \
                 now() - interval '2 hours', now() + interval '1 hour', '{progress}'
             from job where name = '{job}'"
        ))
        .await;
    id.to_string()
}

async fn list(world: &World, arguments: &[&str]) -> (Vec<String>, Vec<String>) {
    let listed = world.producer(&[&["tasks", "list", "--json"], arguments].concat()).await.json();
    let ids = |state: &str| {
        let tasks = listed[state].as_array().unwrap().iter();
        tasks.map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    };
    (ids("running"), ids("waiting"))
}

fn assert_says(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, code, "{run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in {run:?}");
    }
}

#[tokio::test]
async fn tasks_are_found_by_kind_job_and_state_with_how_far_they_are() {
    let world = world_with_jobs(json!({})).await;
    let backup = enqueue(&world, &["backup", "--job", "docs"]).await;
    let later = enqueue(&world, &["backup", "--job", "mail", "--not-before", "2999-01-01T00:00:00Z"]).await;
    let running = lease(&world, "copy", "docs").await;
    world
        .execute("update task set waiting_for = 'target:usb', run_at = 'infinity' where kind = 'probe'")
        .await;
    let strings = |ids: &[&String]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let cases: [(&[&str], &[&String], &[&String]); 6] = [
        (&[], &[&running], &[&backup, &later]),
        (&["--state", "running"], &[&running], &[]),
        (&["--state", "waiting"], &[], &[&backup, &later]),
        (&["--job", "docs"], &[&running], &[&backup]),
        (&["--kind", "backup"], &[], &[&backup, &later]),
        (&["--limit", "1"], &[&running], &[&backup]),
    ];
    for (arguments, expected_running, expected_waiting) in cases {
        let expected = (strings(expected_running), strings(expected_waiting));
        assert_eq!(list(&world, arguments).await, expected, "{arguments:?}");
    }
    let run = world.producer(&["tasks", "list"]).await;
    let progress = "saving 25 %, 512 B of 2.0 KiB, 3 files, 1.0 KiB/s";
    assert_says(&run, 0, &[&backup, &running, "w-far", "2h", "3h", progress, "due", "in 355"]);
    assert_says(&world.producer(&["tasks", "list", "--limit", "1"]).await, 0, &["there are more"]);
    world.execute("update task set waiting_for = 'target:usb', run_at = 'infinity'").await;
    assert_says(&world.producer(&["tasks", "list"]).await, 0, &["waits for target:usb"]);
    assert_says(&world.producer(&["tasks", "list", "--job", "nobody"]).await, 0, &["nothing waits or runs"]);
}

#[tokio::test]
async fn one_task_is_shown_wherever_it_is() {
    let world = world_with_jobs(json!({})).await;
    let waiting =
        enqueue(&world, &["verify", "--job", "docs", "--param", "target=disk-a", "--param", "level=read"]);
    let waiting = waiting.await;
    let running = lease(&world, "backup", "docs").await;
    let shown = world.producer(&["tasks", "show", &waiting, "--json"]).await.json();
    assert_eq!((&shown["state"], &shown["params"]["level"]), (&json!("waiting"), &json!("read")));
    let shown = world.producer(&["tasks", "show", &running, "--json"]).await.json();
    assert_eq!((&shown["state"], &shown["worker"]), (&json!("running"), &json!("w-far")));
    assert_says(
        &world.producer(&["tasks", "show", &running]).await,
        0,
        &["saving 25 %", "erp", "lease until"],
    );
    assert_eq!(world.producer(&["tasks", "cancel", &waiting]).await.code, 0);
    let shown = world.producer(&["tasks", "show", &waiting, "--json"]).await.json();
    assert_eq!(shown["state"], "cancelled");
    assert_eq!(shown["executions"][0]["error"], "cancelled by cli");
    let unknown = Uuid::now_v7().to_string();
    assert_says(&world.producer(&["tasks", "show", &unknown]).await, 2, &[&unknown]);
}

#[tokio::test]
async fn a_waiting_task_is_cancelled_at_once_and_only_once() {
    let world = world_with_jobs(json!({})).await;
    let (one, two) = (
        enqueue(&world, &["backup", "--job", "docs"]).await,
        enqueue(&world, &["backup", "--job", "mail"]).await,
    );
    let unknown = Uuid::now_v7().to_string();
    // Bad input changes nothing.
    assert_says(&world.producer(&["tasks", "cancel", &one, &unknown]).await, 2, &[&unknown]);
    assert_eq!(world.number("select count(*) from task").await, 2);
    let run = world.producer(&["tasks", "cancel", &one, &two, "--wait"]).await;
    assert_says(&run, 0, &[&format!("{one} cancelled"), &format!("{two} cancelled")]);
    assert_eq!(world.number("select count(*) from task").await, 0);
    assert_eq!(world.number("select count(*) from execution where outcome = 'cancelled'").await, 2);
    assert_says(&world.producer(&["tasks", "cancel", &one]).await, 1, &["cancelled already"]);
    world.check_invariants().await;
}

#[tokio::test]
async fn what_is_finished_or_dead_cannot_be_cancelled() {
    let world = world_with_jobs(json!({})).await;
    let (finished, dead) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    world
        .execute(&format!(
            "insert into known_id (id) values ('{finished}'), ('{dead}');
             insert into execution (task_id, epoch, attempt, kind, outcome, requested_by, enqueued_at, started_at, seconds)
                 values ('{finished}', 1, 1, 'backup', 'success', 'erp', now(), now(), 1);
             insert into dead_task (id, kind, priority, params, requested_by, enqueued_at, attempts, rescues, reason, \
                 last_error) values ('{dead}', 'backup', 'normal', '{{}}', 'erp', now(), 5, 0, 'failed', 'no')"
        ))
        .await;
    let run = world.producer(&["tasks", "cancel", &finished, &dead]).await;
    assert_says(&run, 1, &[&format!("{finished} was not cancelled: it is finished"), "dead show"]);
}

#[tokio::test]
async fn the_end_of_a_running_task_is_asked_for_and_waited_for() {
    let world = world_with_jobs(json!({})).await;
    let id = lease(&world, "backup", "docs").await;
    let run = world.producer(&["tasks", "cancel", &id]).await;
    assert_says(&run, 0, &[&format!("{id} is being ended by its worker")]);
    assert_eq!(world.text("select cancelled_by from lease").await.as_deref(), Some("cli"));
    assert_says(&world.producer(&["tasks", "list"]).await, 0, &["ending"]);
    assert_says(&world.producer(&["tasks", "show", &id]).await, 0, &["asked for by cli"]);
    let patience = ["tasks", "cancel", &id, "--wait", "--timeout", "1s"];
    assert_says(&world.producer(&patience).await, 3, &["its end stays asked for"]);
    // Its worker is gone for good: the reaper knows that a person ended it.
    world.execute("update lease set lease_until = now() - interval '1 second'").await;
    let producer = world.start_producer();
    let run = world.producer(&["tasks", "cancel", &id, "--wait"]).await;
    assert!(run.code == 0 || run.stderr.contains("cancelled already"), "{run:?}");
    let shown = world.producer(&["tasks", "show", &id, "--json"]).await.json();
    assert_eq!(shown["state"], "cancelled");
    world.check_invariants().await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_worker_ends_what_it_runs_when_a_person_asks_for_it() {
    let world = world_with_jobs(json!({ "duration": "10m" })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let id = enqueue(&world, &["backup", "--job", "docs"]).await;
    eventually("it runs", async || (world.number("select count(*) from lease").await == 1).then_some(()))
        .await;
    let run = world.producer(&["tasks", "cancel", &id, "--wait", "--timeout", "50s"]).await;
    assert_says(&run, 0, &[&format!("{id} cancelled")]);
    assert_eq!(world.text("select outcome from execution").await.as_deref(), Some("cancelled"));
    world.wait_until_idle().await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}
