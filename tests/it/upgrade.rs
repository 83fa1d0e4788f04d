//! Upgrades: new programs wait for an older schema, programs go on with a newer one, and migrations only add.

mod contracting;

use std::path::Path;
use std::time::{Duration, Instant};

use harness::{World, eventually};
use refinery::{Runner, Target};
use serde_json::json;
use shared::db::migration::{self, Standing};
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
        let ready = async || reqwest::get(format!("{url}/readyz")).await.unwrap();
        let not_yet = ready().await;
        assert_eq!(not_yet.status(), 503);
        assert!(not_yet.text().await.unwrap().contains(&said));
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
        assert_eq!(ready().await.status(), 200);
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

/// The rights in all tables but months, which come and go.
const RIGHTS: &str = "select string_agg(c.relname || ' ' || coalesce(c.relacl::text, '') || coalesce(columns.rights, ''), ' ' order by c.relname)
    from pg_class c left join lateral (select string_agg(a.attname || a.attacl::text, ',' order by a.attnum) as rights
        from pg_attribute a where a.attrelid = c.oid) columns on true
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition";

#[tokio::test]
async fn an_older_migration_leaves_the_rights_alone_that_a_newer_one_gave() {
    let world = World::new().await;
    // As deployments make them: another test may do so at the same moment, on the same server.
    for role in ["holdfast_worker", "holdfast_reporter"] {
        let made = format!(
            "do $$ begin create role {role} login; exception when duplicate_object or unique_violation then null; end $$"
        );
        world.execute(&made).await;
    }
    let migrated = world.producer(&["migrate"]).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let of_this_release = world.text(RIGHTS).await.unwrap();
    assert!(of_this_release.contains("holdfast_worker="), "{of_this_release}");
    let later = migrations().last().unwrap().version() + 1;
    let of_a_later_release = format!(
        "create table of_a_later_release (id bigint primary key);
         grant select, insert on of_a_later_release to holdfast_worker, holdfast_reporter;
         grant update on job to holdfast_worker;
         revoke insert on task from holdfast_worker;
         grant delete on schedule to holdfast_reporter;
         insert into refinery_schema_history values ({later}, 'of_a_later_release', '2030-01-01T00:00:00Z', '7')"
    );
    world.execute(&of_a_later_release).await;
    let before = world.text(RIGHTS).await.unwrap();
    assert_ne!(before, of_this_release);
    let migrated = world.producer(&["migrate"]).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    assert_eq!(world.text(RIGHTS).await.unwrap(), before);
}

/// Whether somebody waits for a lock of the table of executions.
const WAITING: &str =
    "select count(*) from pg_locks where not granted and relation = to_regclass('execution') and mode <> 'AccessShareLock'
     and database = (select oid from pg_database where datname = current_database())";

/// Before a migration that needs the table of executions for itself.
const BEFORE_ONE_OF_EXECUTIONS: i32 = 14;

#[tokio::test]
async fn a_migration_that_waits_for_a_table_lets_readers_through_and_ends_when_the_table_is_free() {
    let world = World::new().await;
    migrate_to(&world, BEFORE_ONE_OF_EXECUTIONS).await;
    let (mut holder, reader) =
        (world.database.client().await.unwrap(), world.database.client().await.unwrap());
    let dump = holder.transaction().await.unwrap();
    dump.batch_execute("lock table execution in access share mode").await.unwrap();
    let watched = async {
        eventually("the migration waits", async || (world.number(WAITING).await > 0).then_some(())).await;
        let began = Instant::now();
        reader.query_one("select count(*) from execution", &[]).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(6), "a reader waited for {:?}", began.elapsed());
        eventually("it is tried again", async || (world.number(WAITING).await > 0).then_some(())).await;
        dump.rollback().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(world.producer(&["migrate"]), watched);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    assert!(
        migrated.stdout.contains("applied V15__") && migrated.stdout.contains("applied V22__"),
        "{migrated:?}"
    );
    let said = format!("{}{}", migrated.stdout, migrated.stderr);
    assert!(said.contains("tables are in use") && said.contains("(holdfast test, role"), "{migrated:?}");
    assert_eq!(migration::standing(&world.database).await.unwrap(), Standing::Current);
}

#[tokio::test]
async fn a_migration_that_never_gets_a_table_gives_up_and_says_what_it_did_and_who_was_in_its_way() {
    let world = World::new().await;
    migrate_to(&world, BEFORE_ONE_OF_EXECUTIONS - 1).await;
    let mut holder = world.database.client().await.unwrap();
    let dump = holder.transaction().await.unwrap();
    dump.batch_execute("lock table execution in access share mode").await.unwrap();
    let stopped = migration::migrate_within(&world.database, Duration::ZERO).await.unwrap_err();
    assert!(stopped.applied.iter().any(|name| name.starts_with("V14__")), "{stopped:?}");
    let said = format!("{:#}", anyhow::Error::new(stopped));
    for part in [
        "no further than this was migrated, which stays: V14__",
        "tables were in use for",
        "role",
        "execution",
        "migrate again",
    ] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    dump.rollback().await.unwrap();
    // Who goes on has what was done before.
    let applied = migration::migrate(&world.database).await.unwrap();
    assert!(applied.iter().all(|name| !name.starts_with("V14__")), "{applied:?}");
    assert_eq!(migration::standing(&world.database).await.unwrap(), Standing::Current);
}

#[tokio::test]
async fn who_waits_for_another_that_migrates_says_so_and_goes_on_when_it_has_ended() {
    let world = World::new().await;
    let other = world.database.client().await.unwrap();
    other.execute("select pg_advisory_lock(1752132708)", &[]).await.unwrap();
    let migrating = world.producer(&["migrate"]);
    let released = async {
        let there = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'producer'
            and query like '%migration.lock%'";
        eventually("it waits", async || (world.number(there).await > 0).then_some(())).await;
        other.execute("select pg_advisory_unlock(1752132708)", &[]).await.unwrap();
    };
    let (migrated, ()) = tokio::join!(migrating, released);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let said = format!("{}{}", migrated.stdout, migrated.stderr);
    assert!(said.contains("another process migrates this database"), "{migrated:?}");
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
    for (version, count) in [(16, 1), (19, 1), (20, 0), (21, 3), (18, 0)] {
        let found = found(version);
        assert_eq!(found.len(), count, "{version}: {found:#?}");
    }
}
