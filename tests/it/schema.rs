//! The schema: many may migrate at once, and history has its partitions ahead of time.

use harness::{World, eventually};
use shared::db;

#[tokio::test]
async fn many_may_migrate_at_once_and_later_migrations_change_nothing() {
    let world = World::new().await;
    world.execute("drop schema public cascade; create schema public").await;
    let runs = tokio::join!(
        world.producer(&["migrate"]),
        world.producer(&["migrate"]),
        world.producer(&["migrate"])
    );
    for run in [runs.0, runs.1, runs.2] {
        assert_eq!(run.code, 0, "{run:?}");
    }
    let files =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/migrations")).unwrap().count();
    let applied = world.number("select count(*) from refinery_schema_history").await;
    assert_eq!(usize::try_from(applied).unwrap(), files);
    assert_eq!(world.number("select count(*) from pg_inherits where inhparent in ('execution'::regclass, 'evidence'::regclass)").await, 2 * (1 + 4));
}

#[tokio::test]
async fn a_running_producer_creates_partitions_ahead_and_none_is_needed_by_default() {
    let world = World::new().await;
    let producer = world.start_producer();
    eventually("three months lie ahead", async || {
        let months = "select count(*) from pg_inherits where inhparent = 'execution'::regclass";
        (world.number(months).await == 1 + 4).then_some(())
    })
    .await;
    let client = world.database.client().await.unwrap();
    assert_eq!(db::partition::rows_in_default(&client).await.unwrap(), 0);
    world.stop(producer).await;
}

#[tokio::test]
async fn the_newest_facts_are_the_fold_of_the_evidence() {
    let world = World::new().await;
    let jobs = serde_json::json!([world.simulated_job("sim", &["disk-a"], &serde_json::json!({}))]);
    let targets = [world.target("disk-a", &serde_json::json!({}))];
    world.apply(&serde_json::json!({ "targets": targets, "jobs": jobs })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    for _ in 0..3 {
        assert_eq!(world.producer(&["enqueue", "backup", "--job", "sim", "--wait"]).await.code, 0);
    }
    world.wait_until_idle().await;
    let newest = "select count(*) from compliance c, jsonb_each(c.facts::jsonb) f(target, facts)
         where f.facts -> 'restore_point' ->> 'evidence' =
         (select id::text from evidence where kind = 'restore_point' order by observed_at desc, id desc limit 1)";
    assert_eq!(world.number(newest).await, 1);
    let links = "select count(*) from (select position - lag(position) over (order by position) as step
         from evidence) t where step <> 1";
    assert_eq!(world.number(links).await, 0);
    world.stop(worker).await;
    world.stop(producer).await;
}
