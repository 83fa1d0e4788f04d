//! Two recorders of one job: each sees the other's evidence.

use harness::World;
use serde_json::json;
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
    db::compliance::record(&first, present(job, TargetId(row.get(1))), &[]).await.unwrap();

    // The second recorder must wait for the first: it is seen waiting for the lock before the first commits.
    let second = async {
        let mut client = world.database.client().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        db::compliance::record(&transaction, present(job, TargetId(row.get(2))), &[]).await.unwrap();
        _ = db::commit(transaction).await.unwrap();
    };
    let release = async {
        let blocked = "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'";
        harness::eventually("the second recorder waits", async || {
            (world.number(blocked).await == 1).then_some(())
        })
        .await;
        _ = db::commit(first).await.unwrap();
    };
    tokio::join!(second, release);

    let answer = world.text("select answer from verdict where rule = '3-copies'").await;
    assert_eq!(answer.as_deref(), Some("pass"));
    assert_eq!(world.number("select chain_length from compliance").await, 4);
    assert_eq!(world.number("select count(distinct position) from evidence").await, 4);
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
