//! Plans that are made once and kept: `task` and `lease` are empty at one moment and full at the next.

use std::time::Duration;

use harness::World;
use serde_json::{Value, json};
use shared::db::{Database, DatabaseConfig, lease, task};
use shared::task::{Epoch, TaskId, WorkerId};
use uuid::Uuid;

const LEASE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn many_tasks_are_found_by_their_ids_also_by_a_plan_that_was_made_while_the_tables_were_empty() {
    let world = World::new().await;
    let config = DatabaseConfig::from(world.database_url()).by_index();
    let database = Database::new(&config, "plans").unwrap();
    let mut client = database.client().await.unwrap();
    // As after some uses, when the server stops planning for the values at hand.
    client.batch_execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    let (worker, ids) = (WorkerId(Uuid::now_v7()), [TaskId::generate(), TaskId::generate()]);
    let owners = ids.map(|id| (id, Epoch(1)));
    let moved = ids.map(|task| lease::Moved { task, epoch: Epoch(1), progress: json!({}) });
    let published = ids.map(|id| (id, (1, 1)));
    lease::heartbeat(&client, worker, LEASE, &owners).await.unwrap();
    lease::control(&client, worker, &moved).await.unwrap();
    task::mark_published(&client, &published, LEASE).await.unwrap();
    task::publish_again(&client, &published).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    lease::take_waiting(&transaction, worker, LEASE, &ids).await.unwrap();
    lease::adopt(&transaction, worker, LEASE, &ids).await.unwrap();
    lease::complete(&transaction, worker, &owners).await.unwrap();
    task::put_off(&transaction, &ids.map(|id| (id, 1.0))).await.unwrap();
    transaction.commit().await.unwrap();

    let prepared = "select name, statement, cardinality(parameter_types) from pg_prepared_statements
         where statement ~ '\\m(update|delete from) (task|lease)\\M' order by prepare_time";
    let prepared = client.query(prepared, &[]).await.unwrap();
    assert_eq!(prepared.len(), 8, "one for each of the statements above");
    for row in prepared {
        let (name, statement, parameters): (String, String, i32) = (row.get(0), row.get(1), row.get(2));
        let nulls = vec!["null"; usize::try_from(parameters).unwrap()].join(", ");
        let explain = format!("explain (format json) execute \"{name}\"({nulls})");
        let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        let slow: Vec<String> = nodes(&plan[0]["Plan"]).into_iter().filter_map(slow).collect();
        assert!(slow.is_empty(), "{slow:?} in {statement}:\n{plan:#}");
    }
}

fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// What costs more than a look into an index for each task.
fn slow(node: &Value) -> Option<String> {
    let (kind, table) = (node["Node Type"].as_str()?, node["Relation Name"].as_str().unwrap_or_default());
    let reads_all = ["task", "lease"].contains(&table) && kind == "Seq Scan";
    // An index that is walked through from one end to the other has no condition.
    let walks =
        ["task", "lease"].contains(&table) && kind.starts_with("Index") && node["Index Cond"].is_null();
    let compares_all = kind == "Nested Loop" && !node["Join Filter"].is_null();
    (reads_all || walks || compares_all).then(|| format!("{kind} {table}"))
}
