//! Upgrades: new programs wait for an older schema, programs go on with a newer one, and migrations only add.

mod contracting;

use std::path::Path;

use harness::{World, eventually};
use refinery::{Runner, Target};
use serde_json::json;
use tokio_postgres::NoTls;

/// The newest migration that was there before the first release. Those behind it are run while the release before them is still at work.
const BEFORE_THE_FIRST_RELEASE: i32 = 22;

/// Migrations that take something away although they came after a release, each with the release that stopped using it.
const EXPLAINED: [(i32, &str); 0] = [];

fn migrations() -> Vec<refinery::Migration> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/migrations");
    let mut migrations = refinery::load_sql_migrations(directory).unwrap();
    migrations.sort();
    migrations
}

/// Migrates a new schema up to a version.
async fn migrate_to(world: &World, version: i32) {
    world.execute("drop schema public cascade; create schema public").await;
    let (mut client, connection) = tokio_postgres::connect(world.database_url(), NoTls).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(connection);
    Runner::new(&migrations()).set_target(Target::Version(version)).run_async(&mut client).await.unwrap();
}

#[tokio::test]
async fn new_programs_wait_for_an_older_schema_and_begin_when_it_is_migrated() {
    let world = World::new().await;
    let newest = migrations().last().unwrap().version();
    for earlier in [0, newest - 1] {
        if earlier == 0 {
            world.execute("drop schema public cascade; create schema public").await;
        } else {
            migrate_to(&world, earlier).await;
        }
        let said = format!("version {earlier} instead of {newest}: run `producer migrate`");
        // Each with a log of its own.
        let name = |program: &str| format!("{program}-{earlier}");
        let producer = world.start("producer", &name("producer"), &[]);
        let worker = world.start_worker(&name("worker"), &[]);
        let (reporter, url) = world.start_reporter_with(&name("reporter"), &[]).await;
        for service in [&producer, &worker, &reporter] {
            eventually(&format!("it is said: {said}"), async || service.log().contains(&said).then_some(()))
                .await;
        }
        // It lives, and does nothing meanwhile.
        assert_eq!(reqwest::get(format!("{url}/healthz")).await.unwrap().status(), 200);
        let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relname = 'worker'";
        if world.number(tables).await == 1 {
            assert_eq!(world.number("select count(*) from worker").await, 0, "{}", worker.log());
        }
        let migrated = world.producer(&["migrate"]).await;
        assert_eq!(migrated.code, 0, "{migrated:?}");
        let jobs = [world.simulated_job("sim", &["disk-a"], &json!({}))];
        world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
        let run = world.producer(&["enqueue", "backup", "--job", "sim", "--wait"]).await;
        assert_eq!(run.code, 0, "{run:?}\n{}", worker.log());
        for service in [reporter, worker, producer] {
            world.stop(service).await;
        }
    }
}

#[tokio::test]
async fn a_program_that_waits_for_a_schema_ends_when_it_is_told_to() {
    let world = World::new().await;
    world.execute("drop schema public cascade; create schema public").await;
    let worker = world.start_worker("w1", &[]);
    eventually("it waits", async || worker.log().contains("run `producer migrate`").then_some(())).await;
    world.stop(worker).await;
    let run = world.producer(&["tasks", "list"]).await;
    assert!(run.code == 1 && run.stderr.contains("run `producer migrate`"), "{run:?}");
    let run = world.run("reporter", ["status"]).await;
    assert!(run.code == 1 && run.stderr.contains("run `producer migrate`"), "{run:?}");
}

/// What a later release may add: a column of every table, a table, an index, a trigger.
const EXPANSION: &str = "
    do $$
    declare
        each regclass;
    begin
        for each in select oid from pg_class
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
                and relname <> 'refinery_schema_history'
        loop
            execute format('alter table %s add column of_a_later_release text, add column counted_later bigint not null default 7', each);
        end loop;
    end $$;
    create table of_a_later_release (id bigint primary key, execution_id bigint);
    create index on execution (of_a_later_release, finished_at);
    create function of_a_later_release() returns trigger language plpgsql as $$ begin return new; end $$;
    create trigger of_a_later_release before insert or update on job for each row execute function of_a_later_release();";

#[tokio::test]
async fn programs_do_all_their_work_on_the_schema_of_a_later_release() {
    let world = World::new().await;
    let later = migrations().last().unwrap().version() + 1;
    world.execute(EXPANSION).await;
    let note = format!(
        "insert into refinery_schema_history values ({later}, 'of_a_later_release', '2030-01-01T00:00:00Z', '7')"
    );
    world.execute(&note).await;

    // The program that migrates, run again by an older deployment, leaves it alone.
    let migrated = world.producer(&["migrate"]).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    assert!(migrated.stdout.contains(&format!("version {later} instead of {}", later - 1)), "{migrated:?}");

    world.write("source/a.txt", "alpha");
    let targets = [world.target("disk-a", &json!({})), world.target("nas-b", &json!({ "media": "nas" }))];
    let mut job = world.files_job("docs", &["disk-a", "nas-b"]);
    job["retention"] = json!({ "last": 3 });
    world.apply(&json!({ "targets": targets, "jobs": [job] })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let (reporter, url) = world.start_reporter().await;
    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}\n{}", worker.log());
    world.wait_until_idle().await;
    for arguments in
        [&["forget", "--job", "docs", "--param", "target=disk-a"][..], &["report", "--param", "report=daily"]]
    {
        let run = world.producer(&[&["enqueue"][..], arguments, &["--wait"]].concat()).await;
        assert_eq!(run.code, 0, "{run:?}\n{}", worker.log());
    }
    assert_eq!(
        world.number("select count(*) from execution where outcome <> 'success'").await,
        0,
        "{}",
        worker.log()
    );
    for command in [&["status"][..], &["figures"], &["alerts", "list"], &["db", "stats"]] {
        let run = world.run("reporter", command.iter().copied()).await;
        assert!(run.code < 2 && !run.stderr.contains("error"), "{command:?}: {run:?}");
    }
    assert_eq!(reqwest::get(format!("{url}/readyz")).await.unwrap().status(), 200);
    world.check_invariants().await;
    for service in [reporter, worker, producer] {
        for trouble in ["does not exist", "violates", "run `producer migrate`"] {
            assert!(!service.log().contains(trouble), "{}", service.log());
        }
        world.stop(service).await;
    }
}

#[test]
fn migrations_after_a_release_only_add() {
    for migration in migrations().iter().filter(|migration| migration.version() > BEFORE_THE_FIRST_RELEASE) {
        let found = contracting::statements(migration.sql().unwrap());
        let explained = EXPLAINED.iter().any(|(version, _)| *version == migration.version());
        assert!(found.is_empty() || explained, "{migration} takes something away: {found:#?}");
    }
}

#[test]
fn what_takes_something_away_is_recognised() {
    let known = migrations();
    let found = |version: i32| {
        let migration = known.iter().find(|migration| migration.version() == version).unwrap();
        contracting::statements(migration.sql().unwrap())
    };
    // Of those before the first release, these take something away.
    for (version, count) in [(16, 1), (19, 1), (20, 0), (21, 1), (18, 0)] {
        let found = found(version);
        assert_eq!(found.len(), count, "{version}: {found:#?}");
    }
}
