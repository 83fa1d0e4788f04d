//! Tables that are written all the time: they stay small, and pay for no index that nothing reads by.

use std::collections::BTreeSet;
use std::time::Duration;

use deadpool_postgres::Client;
use harness::{World, eventually};
use serde_json::json;
use shared::db::compliance::Observation;
use shared::db::definition::Definitions;
use shared::db::{self, Database, known_id, lease};
use shared::evidence::{Check, Finding, PointFact};
use shared::job::JobId;
use shared::params::Params;
use shared::target::TargetId;
use shared::task::{Epoch, Priority, Task, TaskId, TaskKind, WorkerId};
use shared::work::RestorePointId;
use uuid::Uuid;

const LEASE: Duration = Duration::from_mins(5);

async fn world_with_a_job() -> (World, JobId, Vec<TargetId>) {
    let world = World::new().await;
    let names = ["disk-a", "nas-b", "tape-c"];
    let targets: Vec<_> = names.iter().map(|name| world.target(name, &json!({ "media": "nas" }))).collect();
    let jobs = json!([world.simulated_job("sim", &names, &json!({}))]);
    world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
    let client = world.database.client().await.unwrap();
    let rows = client.query("select job_id, target_id from job_target order by 2", &[]).await.unwrap();
    let targets = rows.iter().map(|row| TargetId(row.get(1))).collect();
    drop(client);
    (world, JobId(rows[0].get(0)), targets)
}

/// Updates of a table so far, and how many of them were heap-only.
async fn updates(client: &Client, table: &str) -> (i64, i64) {
    let statement = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = $1";
    let row = client.query_one(statement, &[&table]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Nearly all updates of a round must be heap-only. Other tests may keep versions alive that have to make room, so it
/// takes a round in which none does.
async fn eventually_heap_only(database: &Database, table: &str, mut round: impl AsyncFnMut()) {
    let client = database.client().await.unwrap();
    eventually(&format!("updates of {table} are heap-only"), async || {
        let before = updates(&client, table).await;
        round().await;
        let after = updates(&client, table).await;
        let (all, heap_only) = (after.0 - before.0, after.1 - before.1);
        (all > 0 && heap_only * 20 >= all * 19).then_some(())
    })
    .await;
}

#[tokio::test]
async fn heartbeats_and_progress_write_no_index() {
    let (world, job, _) = world_with_a_job().await;
    let mut client = world.database.client().await.unwrap();
    let worker = WorkerId(Uuid::now_v7());
    let tasks: Vec<Task> = (0..200).map(|_| task(job)).collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let transaction = client.transaction().await.unwrap();
    known_id::insert(&transaction, &ids).await.unwrap();
    lease::insert_fresh(&transaction, worker, LEASE, tasks, &lease::Caps::new()).await.unwrap();
    _ = db::commit(transaction).await.unwrap();

    let held: Vec<_> = ids.iter().map(|id| (*id, Epoch(1))).collect();
    // All leases of a worker are extended at once, those that share a page too.
    eventually_heap_only(&world.database, "lease", async || {
        for beat in 0..20 {
            assert_eq!(lease::heartbeat(&client, worker, LEASE, &held).await.unwrap().len(), 200);
            let progress = json!({ "bytes_done": beat, "bytes_total": 20 });
            let moved = ids[..50].iter();
            let moved =
                moved.map(|id| lease::Moved { task: *id, epoch: Epoch(1), progress: progress.clone() });
            lease::control(&client, worker, &moved.collect::<Vec<_>>()).await.unwrap();
        }
        flush(&client).await;
    })
    .await;
}

/// Has the statistics of a connection's statements counted at once.
async fn flush(client: &Client) {
    client.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();
}

fn task(job: JobId) -> Task {
    Task {
        id: TaskId::generate(),
        kind: TaskKind::Probe,
        priority: Priority::Normal,
        job: Some(job),
        params: Params::from(&json!({ "target": "disk-a" })),
        requested_by: "test".to_owned(),
        enqueued_at: shared::clock::now(),
        trace: None,
    }
}

#[tokio::test]
async fn facts_and_verdicts_are_renewed_without_writing_an_index() {
    let (world, job, targets) = world_with_a_job().await;
    let mut client = world.database.client().await.unwrap();
    let definitions = Definitions::default();
    eventually_heap_only(&world.database, "compliance", async || {
        for _ in 0..50 {
            let observations = targets.iter().flat_map(|target| observations(job, *target)).collect();
            let transaction = client.transaction().await.unwrap();
            db::compliance::record(&transaction, &definitions, observations, &[]).await.unwrap();
            _ = db::commit(transaction).await.unwrap();
        }
        flush(&client).await;
    })
    .await;
    world.check_invariants().await;
}

/// All that a verified copy has, so that facts and verdicts are as large as they get.
fn observations(job: JobId, target: TargetId) -> Vec<Observation> {
    let restore_point = RestorePointId(Uuid::now_v7());
    let check = || Check { restore_point, passed: true, seconds: 1.0, detail: String::new() };
    let point = PointFact { restore_point, data_time: shared::clock::now(), source_errors: 0 };
    let findings = [
        Finding::RestorePoint(point),
        Finding::Listing { present: true },
        Finding::Structure(check()),
        Finding::Read(check()),
        Finding::RestoreTest(check()),
    ];
    let task = TaskId::generate();
    findings.into_iter().map(|finding| Observation { job, target, task, finding }).collect()
}

#[tokio::test]
async fn every_index_is_in_the_documents_table_with_what_it_is_for() {
    let world = World::new().await;
    let client = world.database.client().await.unwrap();
    let statement = "select i.relname::text from pg_index x join pg_class i on i.oid = x.indexrelid
             join pg_class t on t.oid = x.indrelid
         where t.relnamespace = 'public'::regnamespace and not t.relispartition
             and t.relname <> 'refinery_schema_history'";
    let rows = client.query(statement, &[]).await.unwrap();
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let documented: BTreeSet<String> = include_str!("../../docs/tables.md")
        .split_once("\n## Indexes\n")
        .unwrap()
        .1
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(index, _)| index.to_owned())
        .collect();
    assert_eq!(there, documented);
}
