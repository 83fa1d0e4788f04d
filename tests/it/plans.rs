//! Plans that are made once and kept: `task` and `lease` are empty at one moment and full at the next, and the rows of
//! `compliance` have many versions at times.

use std::time::Duration;

use deadpool_postgres::Client;
use harness::World;
use serde_json::{Value, json};
use shared::db::definition::Definitions;
use shared::db::line::{self, Place};
use shared::db::{self, Database, DatabaseConfig, backlog, lease, task};
use shared::job::JobId;
use shared::limit::Key;
use shared::params::Params;
use shared::task::{Epoch, Priority, Task, TaskId, TaskKind, WorkerId};
use uuid::Uuid;

const LEASE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn many_tasks_are_found_by_their_ids_also_by_a_plan_that_was_made_while_the_tables_were_empty() {
    let world = World::new().await;
    let mut client = planning_once(&world).await;
    let (worker, ids) = (WorkerId(Uuid::now_v7()), [TaskId::generate(), TaskId::generate()]);
    let owners = ids.map(|id| (id, Epoch(1)));
    let moved = ids.map(|task| lease::Moved { task, epoch: Epoch(1), progress: json!({}) });
    let published = ids.map(|id| (id, (1, 1)));
    lease::heartbeat(&client, worker, LEASE, &owners).await.unwrap();
    lease::control(&client, worker, &moved).await.unwrap();
    task::mark_published(&client, &published, LEASE).await.unwrap();
    task::publish_again(&client, &published).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    lease::take_waiting(&transaction, worker, LEASE, &ids, &lease::Caps::new()).await.unwrap();
    lease::adopt(&transaction, worker, LEASE, &ids).await.unwrap();
    lease::complete(&transaction, worker, &owners).await.unwrap();
    task::put_off(&transaction, &ids.map(|id| (id, 1.0))).await.unwrap();
    transaction.commit().await.unwrap();

    let plans = plans(&client, "\\m(update|delete from) (task|lease)\\M").await;
    assert_eq!(plans.len(), 8, "one for each of the statements above");
    for (statement, plan) in plans {
        let slow: Vec<String> = nodes(&plan).into_iter().filter_map(slow).collect();
        assert!(slow.is_empty(), "{slow:?} in {statement}:\n{plan:#}");
    }
}

#[tokio::test]
async fn the_newest_version_of_a_jobs_facts_is_found_from_the_end_of_the_index_and_changed_where_it_stands() {
    let world = World::new().await;
    let target = world.target("disk-a", &json!({ "media": "nas" }));
    let job = world.simulated_job("sim", &["disk-a"], &json!({}));
    world.apply(&json!({ "targets": [target], "jobs": [job] })).await;
    let mut client = planning_once(&world).await;
    let job = JobId(client.query_one("select id from job", &[]).await.unwrap().get(0));
    // A sample of a table with many versions finds few that live: such statistics, with the cost of a page as it is set for
    // solid-state drives, speak for a bitmap of all of a job's.
    let others = "insert into job (name, definition, active)
             select 'job-' || i, '{}', true from generate_series(1, 1000) i;
         insert into compliance (job_id) select id from job where id not in (select job_id from compliance)";
    let versions = "do $$ begin
             for i in 1..150 loop update compliance set verdicts = to_json(repeat('v', 1000)); end loop; end $$";
    let sample = "update pg_class set reltuples = 1 where relname like 'compliance%'";
    world.execute("alter table compliance set (autovacuum_enabled = false)").await;
    world.execute(&format!("{others}; {versions}; analyze compliance; {sample}")).await;
    client.batch_execute("set random_page_cost = 1.1").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    db::compliance::judge_again(&transaction, &Definitions::default(), &[job]).await.unwrap();
    _ = db::commit(transaction).await.unwrap();

    let plans = plans(&client, "compliance").await;
    let of_rows = plans.iter().flat_map(|(_, plan)| nodes(plan));
    let ways: Vec<(&str, &str)> = of_rows
        .filter(|node| {
            text(node, "Relation Name") == "compliance" && text(node, "Node Type") != "ModifyTable"
        })
        .map(|node| (text(node, "Node Type"), text(node, "Scan Direction")))
        .collect();
    assert_eq!(ways, [("Index Scan", "Backward"), ("Tid Scan", "")]);
}

#[tokio::test]
async fn the_line_that_has_had_the_least_is_found_from_the_beginning_of_an_index_among_thousands() {
    let world = World::new().await;
    let mut client = planning_once(&world).await;
    let lines = "insert into line (waiting_for, kind, owner, priority, served)
             select 'limit:target:full', 'probe', 'owner-' || i, 'normal', i from generate_series(1, 5000) i;
         analyze line";
    world.execute(lines).await;
    let (kind, key) = (TaskKind::Probe, Key::Target("full".parse().unwrap()));
    let task = Task {
        id: TaskId::generate(),
        kind,
        priority: Priority::Normal,
        job: None,
        params: Params::from(&json!({})),
        requested_by: "test".to_owned(),
        enqueued_at: shared::clock::now(),
        trace: None,
    };
    let place = Place { key: key.clone(), owner: "another".to_owned() };
    let transaction = client.transaction().await.unwrap();
    line::enter(&transaction, &[(task, place)]).await.unwrap();
    line::call(&transaction, kind, &key, 1, |_| 1).await.unwrap();
    transaction.commit().await.unwrap();

    let plans = plans(&client, "min\\(served\\)|order by l.served").await;
    assert_eq!(plans.len(), 2, "one to open a line, one to call");
    for (statement, plan) in plans {
        let found = nodes(&plan).into_iter().any(|node| text(node, "Index Name") == "line_served_idx");
        assert!(found, "{statement}:\n{plan:#}");
    }
}

#[tokio::test]
async fn what_is_due_is_found_queue_by_queue_and_the_outbox_measured_by_one_look_at_the_table() {
    let world = World::new().await;
    let client = planning_once(&world).await;
    let queues = [(TaskKind::Backup, Priority::Normal, 1), (TaskKind::Probe, Priority::High, 1_000)];
    assert!(task::take_due(&client, &queues).await.unwrap().is_empty());
    let taking = plans(&client, "with due as").await;
    let [(_, plan)] = &taking[..] else { panic!("{taking:#?}") };
    let looks: Vec<&Value> =
        nodes(plan).into_iter().filter(|node| text(node, "Index Name") == "task_due_idx").collect();
    let [look] = looks[..] else { panic!("{plan:#}") };
    for column in ["kind", "priority", "publish_at"] {
        assert!(text(look, "Index Cond").contains(column), "{plan:#}");
    }
    let sorts = nodes(plan).into_iter().any(|node| text(node, "Node Type").contains("Sort"));
    assert!(!sorts && nodes(plan).into_iter().find_map(slow).is_none(), "{plan:#}");

    backlog::by_kind(&client).await.unwrap();
    let measuring = plans(&client, "oldest_unpublished").await;
    let [(_, plan)] = &measuring[..] else { panic!("{measuring:#?}") };
    let scans = nodes(plan).into_iter().filter(|node| text(node, "Relation Name") == "task").count();
    let compares = nodes(plan).into_iter().any(|node| text(node, "Node Type") == "Nested Loop");
    assert!(scans == 1 && !compares, "{plan:#}");
}

/// A worker's session that plans each statement once, as the server does after some uses, and not for the values at hand.
async fn planning_once(world: &World) -> Client {
    let config = DatabaseConfig::from(world.database_url()).by_index();
    let client = Database::new(&config, "plans").unwrap().client().await.unwrap();
    client.batch_execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    client
}

/// The statements of a session that match a pattern, in the order of their first use, each with its plan.
pub(crate) async fn plans(client: &Client, pattern: &str) -> Vec<(String, Value)> {
    let prepared = "select name, statement, cardinality(parameter_types) from pg_prepared_statements
         where statement ~ $1 order by prepare_time";
    let mut plans = Vec::new();
    for row in client.query(prepared, &[&pattern]).await.unwrap() {
        let (name, statement, parameters): (String, String, i32) = (row.get(0), row.get(1), row.get(2));
        let nulls = vec!["null"; usize::try_from(parameters).unwrap()].join(", ");
        let values = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
        let explain = format!("explain (format json) execute \"{name}\"{values}");
        let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        plans.push((statement, plan[0]["Plan"].clone()));
    }
    plans
}

pub(crate) fn text<'a>(node: &'a Value, key: &str) -> &'a str {
    node[key].as_str().unwrap_or_default()
}

pub(crate) fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// What costs more than a look into an index for each task.
fn slow(node: &Value) -> Option<String> {
    let (kind, table) = (text(node, "Node Type"), text(node, "Relation Name"));
    let reads_all = ["task", "lease"].contains(&table) && kind == "Seq Scan";
    // An index that is walked through from one end to the other has no condition.
    let walks =
        ["task", "lease"].contains(&table) && kind.starts_with("Index") && node["Index Cond"].is_null();
    let compares_all = kind == "Nested Loop" && !node["Join Filter"].is_null();
    (reads_all || walks || compares_all).then(|| format!("{kind} {table}"))
}
