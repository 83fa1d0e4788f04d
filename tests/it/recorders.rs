//! Two recorders of one job: each sees the other's evidence.

use harness::{World, eventually};
use serde_json::json;
use shared::db::definition::Definitions;
use shared::db::{self, compliance::Observation};
use shared::evidence::{Finding, PointFact};
use shared::job::JobId;
use shared::target::TargetId;
use shared::task::TaskId;
use shared::work::RestorePointId;
use uuid::Uuid;

#[tokio::test]
async fn two_simultaneous_recorders_of_one_job_judge_by_the_evidence_of_both() {
    let world = World::new().await;
    world
        .apply(&json!({
            "targets": [
                world.target("disk-a", &json!({})),
                world.target("nas-b", &json!({ "media": "nas", "site": "branch" })),
            ],
            "jobs": [world.simulated_job("sim", &["disk-a", "nas-b"], &json!({}))],
        }))
        .await;
    let client = world.database.client().await.unwrap();
    let row =
        client.query_one("select job_id, min(target_id), max(target_id) from job_target group by 1", &[]);
    let row = row.await.unwrap();
    let job = JobId(row.get(0));

    let mut first = world.database.client().await.unwrap();
    let first = first.transaction().await.unwrap();
    db::compliance::record(&first, &Definitions::default(), present(job, TargetId(row.get(1))), &[])
        .await
        .unwrap();

    // The second recorder must wait for the first: it is seen waiting for the lock before the first commits.
    let second = async {
        let mut client = world.database.client().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        db::compliance::record(
            &transaction,
            &Definitions::default(),
            present(job, TargetId(row.get(2))),
            &[],
        )
        .await
        .unwrap();
        _ = db::commit(transaction).await.unwrap();
    };
    let release = async {
        one_waits_for_a_lock(&world).await;
        _ = db::commit(first).await.unwrap();
    };
    tokio::join!(second, release);

    let answer = world.text("select answer from verdict where rule = '3-copies'").await;
    assert_eq!(answer.as_deref(), Some("pass"));
    assert_eq!(world.number("select chain_length from compliance").await, 4);
    assert_eq!(world.number("select count(distinct position) from evidence").await, 4);
}

async fn one_waits_for_a_lock(world: &World) {
    let blocked = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'";
    eventually("somebody waits", async || (world.number(blocked).await == 1).then_some(())).await;
}

fn present(job: JobId, target: TargetId) -> Vec<Observation> {
    let point = PointFact {
        restore_point: RestorePointId(Uuid::now_v7()),
        data_time: shared::clock::now(),
        source_errors: 0,
    };
    let findings = [Finding::RestorePoint(point), Finding::Listing { present: true }];
    let task = TaskId::generate();
    findings.into_iter().map(|finding| Observation { job, target, task, finding }).collect()
}

#[tokio::test]
async fn a_job_that_cannot_be_judged_keeps_no_other_from_being_judged() {
    let world = World::new().await;
    let jobs: Vec<_> = ["bad", "good"].map(|name| world.simulated_job(name, &["disk-a"], &json!({}))).into();
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
        .execute(
            "update compliance set due_at = now() - interval '1 hour', evaluated_at = '2000-01-01';
             update job set definition = '{}' where name = 'bad'",
        )
        .await;
    let (reporter, _) = world.start_reporter().await;
    let judged = "select count(*) from compliance c join job j on j.id = c.job_id
         where j.name = 'good' and c.evaluated_at > '2001-01-01'";
    eventually("the good job is judged", async || (world.number(judged).await == 1).then_some(())).await;
    eventually("the bad one is named", async || {
        reporter.log().contains("a job cannot be judged").then_some(())
    })
    .await;
    world.stop(reporter).await;
}

#[tokio::test]
async fn a_job_keeps_one_row_to_record_in_whoever_writes_another_at_the_same_time() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world.execute("delete from compliance").await;
    let insert = "insert into compliance (job_id) select id from job on conflict do nothing";
    let (mut first, mut second) =
        (world.database.client().await.unwrap(), world.database.client().await.unwrap());
    let (first, second) = (first.transaction().await.unwrap(), second.transaction().await.unwrap());
    assert_eq!(first.execute(insert, &[]).await.unwrap(), 1);
    let waiting = async {
        assert_eq!(second.execute(insert, &[]).await.unwrap(), 0);
        second.commit().await.unwrap();
    };
    let release = async {
        one_waits_for_a_lock(&world).await;
        first.commit().await.unwrap();
    };
    tokio::join!(waiting, release);
    world.execute(insert).await;
    assert_eq!(world.number("select count(*) from compliance").await, 1);
}
