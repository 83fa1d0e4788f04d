//! Pages are read from an index, from the end to which they are sorted, whatever is in the tables.

use serde_json::Value;
use shared::db::{Database, DatabaseConfig};

use super::world_with;

/// Statements as the reporter makes them, taken from what its own sessions have prepared.
const PAGES: [(&str, &str); 5] = [
    ("from execution e order by e.finished_at desc", "finished_at_idx"),
    (
        "from execution e where e.job_id = (select id from job where name = 'job-001') order by e.finished_at desc",
        "job_id_finished_at_idx",
    ),
    ("from (select * from evidence union all select * from evidence_kept) e order by e.id desc", "id_idx"),
    (
        "from (select * from evidence union all select * from evidence_kept) e
             where e.job_id = (select id from job where name = 'job-001') order by e.id desc",
        "job_id_id_idx",
    ),
    ("from restore_point e order by e.id desc", "pkey"),
];

#[tokio::test]
async fn pages_of_the_history_are_read_from_the_end_of_an_index() {
    let world = world_with(50).await;
    world
        .execute(
            "insert into execution (task_id, epoch, attempt, kind, job_id, outcome, requested_by, enqueued_at, started_at, finished_at, seconds)
             select gen_random_uuid(), 1, 1, 'backup', 1 + n % 2000, 'success', 'erp', now(), now(), now() - n * interval '1 second', 1
             from generate_series(1, 40000) n;
             insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
             select gen_random_uuid(), 1 + n % 2000, 1, gen_random_uuid(), 'detached', now() - n * interval '1 second', '{}', n, '' \
             from generate_series(1, 40000) n;
             insert into restore_point (id, job_id, target_id, snapshot, data_time, seconds, files, bytes, bytes_added, source_errors, task_id)
             select gen_random_uuid(), j.id, t.id, '', now(), 2, 3, 4, 5, 0, gen_random_uuid() from job j, target t, generate_series(1, 400);
             analyze execution, evidence, evidence_kept, restore_point",
        )
        .await;
    let config = DatabaseConfig::from(world.database_url());
    let client = Database::new(&config, "plans").unwrap().client().await.unwrap();
    for (page, index) in PAGES {
        let order = page.split("order by ").nth(1).unwrap();
        let key = if order.contains("finished_at") { ", e.task_id desc, e.epoch desc" } else { "" };
        let explain = format!("explain (format json) select * {page}{key} limit 51");
        let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        let scans = scans(&plan[0]["Plan"]);
        let big = |name: &str| {
            ["execution_2", "evidence_2", "restore_point"].iter().any(|table| name.starts_with(table))
        };
        let of_big: Vec<&(String, String)> = scans.iter().filter(|(table, _)| big(table)).collect();
        let by_it = |(table, used): &&(String, String)| *used == format!("{table}_{index}");
        assert!(!of_big.is_empty() && of_big.iter().all(by_it), "{page}: {scans:?}\n{plan:#}");
    }
}

/// The tables that are read, each with the index by which.
fn scans(plan: &Value) -> Vec<(String, String)> {
    let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
    let own = plan["Relation Name"].is_string().then(|| (text("Relation Name"), text("Index Name")));
    own.into_iter().chain(plan["Plans"].as_array().into_iter().flatten().flat_map(scans)).collect()
}
