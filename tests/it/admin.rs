//! Looking into processes that run: over their sockets, with the commands of each program.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use devstack::Service;
use harness::{Run, World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

async fn world_with(source: &Value) -> World {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], source)]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

fn socket(world: &World) -> PathBuf {
    world.path("admin.sock")
}

/// A worker with a socket, which answers.
async fn worker(world: &World, settings: &[(&str, &str)]) -> Service {
    let socket = socket(world);
    let own = [("HOLDFAST_ADMIN_SOCKET", socket.to_str().unwrap())];
    let worker = world.start_worker("w1", &[&own, settings].concat());
    eventually("the socket is there", async || socket.exists().then_some(())).await;
    worker
}

async fn admin(world: &World, program: &str, arguments: &[&str]) -> Run {
    let socket = socket(world);
    world.run(program, [&["admin"], arguments, &["--socket", socket.to_str().unwrap()]].concat()).await
}

#[tokio::test]
async fn a_dump_names_the_task_that_runs_and_the_pool_that_it_runs_in() {
    let world = world_with(&json!({ "duration": "10m" })).await;
    let worker = worker(&world, &[("HOLDFAST_POOLS_BACKUP_SLOTS", "1")]).await;
    assert_eq!(std::fs::metadata(socket(&world)).unwrap().mode() & 0o777, 0o600);
    let [running, waiting] = [(); 2].map(|()| Uuid::now_v7());
    for task in [running, waiting] {
        let body = json!({ "version": 1, "id": task, "kind": "backup", "job": "sim" });
        world.broker.publish("backup.normal", &[body.to_string().into()]).await;
        let runs = format!("select count(*) from lease where task_id = '{running}'");
        eventually("the first runs", async || (world.number(&runs).await == 1).then_some(())).await;
    }
    // The second one's delivery is held for some seconds in the hope of a slot.
    let (pools, backup) = eventually("the second one stands in line", async || {
        let pools = admin(&world, "worker", &["pools", "--json"]).await.json();
        let backup = pools["pools"].as_array().unwrap().iter().find(|pool| pool["kind"] == "backup")?.clone();
        (backup["waiting_for"] == json!(["pool:backup"])).then_some((pools, backup))
    })
    .await;
    let tasks = admin(&world, "worker", &["tasks", "--json"]).await.json();
    let stages = tasks["stages"].as_array().unwrap().iter().filter(|stage| stage["pool"] == "backup");
    let stages: Vec<&str> = stages.map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["admit", "claim", "execute"]);
    let task = &tasks["running"][0];
    assert_eq!(
        (&task["id"], &task["kind"], &task["job"], &task["stage"], &task["attempt"]),
        (&json!(running), &json!("backup"), &json!("sim"), &json!("executing"), &json!(1))
    );
    assert!(task["seconds"].as_f64().unwrap() > 0.0, "{task}");
    let loops: Vec<&str> =
        tasks["loops"].as_array().unwrap().iter().map(|each| each["name"].as_str().unwrap()).collect();
    for name in ["pipeline", "heartbeat", "limits", "publisher", "admin"] {
        assert!(loops.contains(&name), "{name} is not among {loops:?}");
    }
    assert!(tasks["runtime"]["tasks"].as_u64().unwrap() > 0);
    assert_eq!(
        (&backup["slots"], &backup["busy"], &backup["state"]),
        (&json!(1), &json!(1), &json!("running"))
    );
    let connections: Vec<&Value> =
        pools["connections"].as_array().unwrap().iter().map(|pool| &pool["pool"]).collect();
    assert_eq!(connections, [&json!("main"), &json!("heartbeat")]);
    let text = admin(&world, "worker", &["tasks"]).await;
    assert!(text.code == 0 && text.stdout.contains(&running.to_string()), "{text:?}");
    assert!(admin(&world, "worker", &["pools"]).await.stdout.contains("pool:backup"));

    assert_eq!(world.producer(&["tasks", "cancel", &running.to_string(), "--wait"]).await.code, 0);
    assert_eq!(world.producer(&["tasks", "cancel", &waiting.to_string()]).await.code, 0);
    world.stop(worker).await;
    assert!(!socket(&world).exists());
}

#[tokio::test]
async fn what_is_logged_is_changed_while_the_worker_runs_and_changed_back() {
    let world = world_with(&json!({})).await;
    let worker = worker(&world, &[("HOLDFAST_LOG", "info")]).await;
    let enqueue = async || {
        let body = json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": "sim" });
        world.broker.publish("backup.normal", &[body.to_string().into()]).await;
    };
    let done = |worker: &Service| worker.log().matches(" done ").count();
    enqueue().await;
    eventually("the first is done", async || (done(&worker) == 1).then_some(())).await;
    assert!(!worker.log().contains("worker::events: claimed"), "{}", worker.log());

    let set = admin(&world, "worker", &["log", "info,worker=debug"]).await;
    assert!(set.code == 0 && set.stdout.contains("worker=debug"), "{set:?}");
    enqueue().await;
    eventually("it is said that one was claimed", async || {
        worker.log().contains("worker::events: claimed").then_some(())
    })
    .await;
    let shown = admin(&world, "worker", &["log", "--json"]).await.json();
    assert!(shown["current"].as_str().unwrap().contains("worker=debug"), "{shown}");
    assert!(!shown["configured"].as_str().unwrap().contains("worker=debug"), "{shown}");

    let wrong = admin(&world, "worker", &["log", "worker=loud"]).await;
    assert!(wrong.code == 2 && wrong.stderr.contains("filter"), "{wrong:?}");
    let back = admin(&world, "worker", &["log", "configured", "--json"]).await.json();
    assert_eq!(back["current"], back["configured"]);
    eventually("the second is done", async || (done(&worker) == 2).then_some(())).await;
    let claimed = worker.log().matches("worker::events: claimed").count();
    enqueue().await;
    eventually("the third is done", async || (done(&worker) == 3).then_some(())).await;
    assert_eq!(worker.log().matches("worker::events: claimed").count(), claimed);
    world.stop(worker).await;
}

#[tokio::test]
async fn a_profile_is_made_of_what_runs_one_at_a_time_and_within_bounds() {
    let world = world_with(&json!({})).await;
    let worker = worker(&world, &[]).await;
    let (svg, pprof) = (world.path("profile.svg"), world.path("profile.pb"));
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (svg_path, pprof_path) = (path(&svg), path(&pprof));
    let two_at_once = ["profile", "--seconds", "5", "--out", &svg_path];
    let (one, other) =
        tokio::join!(admin(&world, "worker", &two_at_once), admin(&world, "worker", &two_at_once));
    let (made, refused) = if one.code == 0 { (one, other) } else { (other, one) };
    assert_eq!(made.code, 0, "{made:?}");
    assert!(refused.code == 2 && refused.stderr.contains("another profile"), "{refused:?}");
    let graph = std::fs::read_to_string(&svg).unwrap();
    assert!(graph.starts_with("<svg") && graph.contains("worker: "), "{graph}");
    let run =
        admin(&world, "worker", &["profile", "--seconds", "1", "--out", &pprof_path, "--json"]).await.json();
    assert_eq!(run["bytes"].as_u64(), Some(std::fs::metadata(&pprof).unwrap().len()));
    for seconds in ["0", "301"] {
        let run = admin(&world, "worker", &["profile", "--seconds", seconds, "--out", &pprof_path]).await;
        assert!(run.code == 2 && run.stderr.contains("seconds"), "{run:?}");
    }
    world.stop(worker).await;
}

#[tokio::test]
async fn each_program_answers_and_says_what_its_own_tasks_are() {
    let world = world_with(&json!({})).await;
    for (program, settings, name) in [
        ("producer", [("HOLDFAST_GRACE", "5s")], "relay"),
        ("reporter", [("HOLDFAST_LISTEN", "127.0.0.1:0")], "collector"),
    ] {
        let path = world.path(format!("{program}.sock"));
        let path = path.to_str().unwrap();
        let service =
            world.start(program, program, &[&[("HOLDFAST_ADMIN_SOCKET", path)][..], &settings].concat());
        // It answers before it has begun with all that it does.
        eventually("its own task was woken", async || {
            let run = world.run(program, ["admin", "tasks", "--json", "--socket", path]).await;
            let tasks: Value = serde_json::from_str(&run.stdout).ok()?;
            let own = tasks["loops"].as_array()?.iter().find(|each| each["name"] == name)?;
            own["wakes"].as_u64().filter(|wakes| *wakes > 0)
        })
        .await;
        // The socket of the settings is found as well.
        let settings = [("HOLDFAST_ADMIN_SOCKET", path)];
        let pools = world.run_with(program, ["admin", "pools"], &settings).await;
        assert!(pools.code == 0 && pools.stdout.contains("main"), "{pools:?}");
        world.stop(service).await;
    }
}

#[tokio::test]
async fn a_socket_that_is_answered_on_is_refused_and_one_that_was_left_behind_is_replaced() {
    let world = world_with(&json!({})).await;
    let socket = socket(&world);
    let mut first = worker(&world, &[]).await;
    let settings = [("HOLDFAST_ADMIN_SOCKET", socket.to_str().unwrap())];
    let second = world.run_with("worker", ["run"], &settings).await;
    assert!(second.code == 1 && second.stderr.contains("another process answers"), "{second:?}");
    assert_eq!(admin(&world, "worker", &["tasks"]).await.code, 0, "the first one answers still");

    first.kill().await.unwrap();
    assert!(socket.exists());
    let nobody = admin(&world, "worker", &["tasks"]).await;
    assert!(nobody.code == 1 && nobody.stderr.contains("does the process run"), "{nobody:?}");
    let third = world.start_worker("w3", &settings);
    eventually("the third one answers", async || {
        (admin(&world, "worker", &["tasks"]).await.code == 0).then_some(())
    })
    .await;
    world.stop(third).await;

    std::fs::write(&socket, "precious").unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = world.run_with("worker", ["run"], &settings).await;
    assert!(refused.code == 1 && refused.stderr.contains("no socket"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
    let unset = world.run("worker", ["admin", "tasks"]).await;
    assert!(unset.code == 2 && unset.stderr.contains("admin.socket"), "{unset:?}");
}
