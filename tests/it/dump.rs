//! Holdfast's own backup: a dump of its database, brought back on servers that know nothing.

use std::path::Path;

use devstack::servers::{Found, Server, find};
use devstack::{Claim, Options, Stack};
use harness::{DEADLINE, Servers, World, eventually};
use serde_json::json;
use tokio::process::Command;

/// Runs a program of PostgreSQL to its end.
async fn postgres(program: &str, arguments: &[&str]) {
    let Found::Ready(installed) = find(Server::Postgres) else { panic!("no PostgreSQL") };
    let mut command = Command::new(installed.programs.join(program));
    let run = tokio::time::timeout(DEADLINE, command.args(arguments).kill_on_drop(true).output());
    let run = run.await.expect("it ends in time").unwrap();
    assert!(run.status.success(), "{program}: {}", String::from_utf8_lossy(&run.stderr));
}

/// A world with one backup in it and another that waits for a worker, and what its database holds.
async fn dumped(file: &Path) -> (World, Vec<Option<String>>) {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let (targets, jobs) = ([world.target("disk-a", &json!({}))], [world.files_job("docs", &["disk-a"])]);
    world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let (reporter, _) = world.start_reporter().await;
    let backup = ["enqueue", "backup", "--job", "docs"];
    let run = world.producer(&[&backup[..], &["--wait"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    world.wait_until_idle().await;
    eventually("it is counted", async || {
        (world.number("select count(*) from rollup").await > 0).then_some(())
    })
    .await;
    world.stop(worker).await;
    assert_eq!(world.producer(&backup).await.code, 0);
    eventually("the second lies in the queue", async || {
        (world.number("select count(*) from task where publish_at > now()").await == 1).then_some(())
    })
    .await;
    world.stop(producer).await;
    world.stop(reporter).await;
    postgres("pg_dump", &["-Fc", "--file", file.to_str().unwrap(), world.database_url()]).await;
    let known = known(&world).await;
    (world, known)
}

/// What has to come back.
async fn known(world: &World) -> Vec<Option<String>> {
    let mut known = Vec::new();
    for statement in [
        "select json_agg(p order by p.id)::text from restore_point p",
        "select json_agg(e order by e.id)::text from evidence e",
        "select json_agg(json_build_array(job_id, chain_length, verdicts) order by job_id)::text from compliance",
        "select json_agg(json_build_array(task_id, outcome, finished_at) order by task_id, attempt)::text from execution",
        "select json_agg(id)::text from task",
        "select json_agg(json_build_array(name, definition) order by id)::text from job",
    ] {
        known.push(world.text(statement).await);
    }
    known
}

#[tokio::test]
async fn what_a_dump_holds_comes_back_on_new_servers_and_the_work_goes_on() {
    let directory = tempfile::Builder::new().prefix("holdfast-dump-").tempdir().unwrap();
    let dump = directory.path().join("holdfast.dump");
    // Its directory has the repository, and is there until the end.
    let (_old, before) = dumped(&dump).await;
    // The servers have a user of their own.
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let claim = Claim::try_new(&directory.path().join("stack")).unwrap().unwrap();
    let stack = Stack::start_in(claim, Options::default()).await.unwrap();
    let new = World::on(&Servers::of(&stack)).await;
    let restore = ["--clean", "--if-exists", "-d", new.database_url(), dump.to_str().unwrap()];
    postgres("pg_restore", &restore).await;
    assert_eq!(known(&new).await, before);

    let (producer, worker) = (new.start_producer(), new.start_worker("w1", &[]));
    let (reporter, _) = new.start_reporter().await;
    let rebuilt = new.run("reporter", ["rollup", "rebuild"]).await;
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    // The broker that held it is lost: it is published again, which nobody needs to wait for here.
    let done = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
    new.execute("update task set publish_at = now()").await;
    eventually("what waited is done", async || (new.number(done).await == 2).then_some(())).await;
    let restored =
        new.producer(&["enqueue", "restore", "--job", "docs", "--param", "into=back", "--wait"]).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    new.wait_until_idle().await;
    eventually("all is counted", async || {
        let check = new.run("reporter", ["rollup", "check"]).await;
        (check.code == 0).then_some(())
    })
    .await;
    new.check_invariants().await;
    for service in [worker, reporter, producer] {
        new.stop(service).await;
    }
    stack.discard().await.unwrap();
}
