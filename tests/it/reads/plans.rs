//! Pages of the history are read from the end of an index, by the plan that is kept for all values.

use std::time::Duration;

use reporter::api::Entity;
use reporter::api::entities::ALL;
use serde_json::Value;
use shared::db::page::{self, Asked, By, Condition, Param, Position};
use shared::db::{Database, DatabaseConfig};

use super::world_with;
use crate::plans::{nodes, plans, text};

/// Each list with the filter that it is narrowed by, and the index of each table of the history that it is read by.
const PAGES: [(&str, Option<&str>, &str, &str); 6] = [
    ("executions", None, "execution_2", "finished_at_idx"),
    ("executions", Some("job"), "execution_2", "job_id_finished_at_idx"),
    ("executions", Some("to"), "execution_2", "finished_at_idx"),
    ("evidence", None, "evidence_2", "id_idx"),
    ("evidence", Some("job"), "evidence_2", "job_id_id_idx"),
    ("restore-points", None, "restore_point", "pkey"),
];

#[tokio::test]
async fn pages_of_the_history_are_read_from_the_end_of_an_index_first_ones_and_those_behind_them() {
    let world = world_with(50).await;
    world
        .execute(
            "insert into execution (task_id, epoch, attempt, kind, job_id, outcome, requested_by, enqueued_at, started_at, finished_at, seconds)
             select gen_random_uuid(), 1, 1, 'backup', 1 + n % 10, 'success', 'erp', now(), now(), now() - n * interval '1 second', 1
             from generate_series(1, 40000) n;
             insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
             select gen_random_uuid(), 1 + n % 10, 1, gen_random_uuid(), 'detached', now() - n * interval '1 second', '{}', n, '' \
             from generate_series(1, 40000) n;
             insert into restore_point (id, job_id, target_id, snapshot, data_time, seconds, files, bytes, bytes_added, source_errors, task_id)
             select gen_random_uuid(), j.id, t.id, '', now(), 2, 3, 4, 5, 0, gen_random_uuid() from job j, target t, generate_series(1, 400);
             analyze execution, evidence, evidence_kept, restore_point",
        )
        .await;
    let config = DatabaseConfig::from(world.database_url()).for_reading(Duration::from_secs(30));
    for (path, filter, table, index) in PAGES {
        // A session of its own, so that its last statement is the one that is meant.
        let client = Database::new(&config, "plans").unwrap().client().await.unwrap();
        // As it is set for solid-state drives. What is explained is asked for without values, by which all months would be left out.
        client.batch_execute("set random_page_cost = 1.1; set enable_partition_pruning = off").await.unwrap();
        let entity = ALL.iter().find(|entity| entity.path == path).unwrap();
        let mut asked = asked(entity, filter);
        let first = page::list(&client, &entity.listing, &asked).await.unwrap();
        asked.after = first.next.or_else(|| Some(somewhere(entity)));
        page::list(&client, &entity.listing, &asked).await.unwrap();
        let plans = plans(&client, "from \\(select e\\.\\*").await;
        assert_eq!(plans.len(), 2, "{plans:#?}");
        for (statement, plan) in plans {
            let of_table = |node: &&Value| text(node, "Relation Name").starts_with(table);
            let scans: Vec<&Value> = nodes(&plan).into_iter().filter(of_table).collect();
            let by_it = |node: &&Value| {
                text(node, "Index Name") == format!("{}_{index}", text(node, "Relation Name"))
                    && text(node, "Scan Direction") == "Backward"
            };
            assert!(!scans.is_empty() && scans.iter().all(by_it), "{statement}:\n{plan:#}");
        }
    }
}

fn asked(entity: &Entity, filter: Option<&str>) -> Asked {
    let filter = entity.listing.filters.iter().find(|one| Some(one.name) == filter);
    let conditions = filter.map(|filter| match filter.by {
        By::Text(sql) => Condition { sql: sql.to_owned(), value: Some(Param::Text("job-001".to_owned())) },
        By::Time(sql) => Condition { sql: sql.to_owned(), value: Some(Param::Time(shared::clock::now())) },
        _ => panic!("{filter:?}"),
    });
    Asked {
        sort: &entity.listing.sorts[0],
        descending: entity.listing.from_end,
        after: None,
        limit: 50,
        conditions: conditions.into_iter().collect(),
        fields: vec![0],
    }
}

/// A position behind which there may be nothing.
fn somewhere(entity: &Entity) -> Position {
    let value = |kind: &page::Kind| match kind {
        page::Kind::Time => Param::Time(shared::clock::now()),
        page::Kind::Uuid => Param::Uuid(uuid::Uuid::max()),
        page::Kind::Int => Param::Int(i64::MAX),
        other => panic!("{other:?}"),
    };
    Position(entity.listing.sorts[0].by.iter().map(|(_, kind)| value(kind)).collect())
}
