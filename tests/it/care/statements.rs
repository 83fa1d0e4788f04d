//! Statements by their names: measured, logged when they are slow, and explained.

use std::collections::BTreeSet;

use harness::{World, address, eventually, metrics};
use serde_json::json;
use shared::db::statement::{self, plan};
use shared::db::{keeping, worker};
use uuid::Uuid;

use super::world_with_jobs;
use crate::http::Client;

#[tokio::test]
async fn every_statement_has_a_name_of_its_own_and_a_plan_on_this_schema() {
    let world = World::new().await;
    let all = statement::all();
    let names: BTreeSet<&str> = all.iter().map(|statement| statement.name()).collect();
    assert_eq!(names.len(), all.len(), "two statements have one name");
    assert!(names.len() > 250, "{} statements: some are not listed", names.len());
    let session = plan::session(&world.database).await.unwrap();
    for statement in &all {
        let (table, what) = statement.name().split_once('.').unwrap();
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(is_word(table) && is_word(what), "{}", statement.name());
        let plan = plan::explain_on(&session, statement, plan::Form::Json).await;
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", statement.name()));
        assert!(plan.cost().is_some(), "{}: {plan:?}", statement.name());
    }
    // Also those that only workers run are known to the program that explains them.
    let listed = world.run("reporter", ["db", "explain", "--json"]).await.json();
    assert_eq!(listed, json!(names));
}

#[tokio::test]
async fn a_plan_is_told_with_what_its_statement_is_given_and_an_unknown_name_with_the_nearest() {
    let world = World::new().await;
    let run = world.run("reporter", ["db", "explain", "task.mark_published", "--by-index"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    for part in ["/* task.mark_published */", "$1 uuid[]", "Update on task"] {
        assert!(run.stdout.contains(part), "{part} is missing in {}", run.stdout);
    }
    assert!(!run.stdout.contains("Seq Scan on task"), "{}", run.stdout);
    let plan = world.run("reporter", ["db", "explain", "job.resolve", "--json"]).await.json();
    assert_eq!(plan["parameters"], json!(["text[]"]));
    assert!(plan["plan"][0]["Plan"]["Total Cost"].is_number(), "{plan}");
    let run = world.run("reporter", ["db", "explain", "task.mark_publised"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("task.mark_published"), "{run:?}");
}

#[tokio::test]
async fn each_process_measures_its_statements_by_their_names() {
    let world = world_with_jobs(0).await;
    let client = Client::new(&world, "viewer").await;
    let worker = world.start_worker("w1", &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
    let (reporter, reporter_url) = world.start_reporter().await;
    let worker_url = address(&worker).await;
    let run = world.producer(&["enqueue", "backup", "--job", "sim", "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}");

    let count = |statement: &str| format!("holdfast_statement_seconds_count{{statement=\"{statement}\"}}");
    for (url, statement) in
        [(&worker_url, "lease.complete"), (&worker_url, "execution.copy"), (&reporter_url, "worker.present")]
    {
        eventually(&format!("{statement} is measured"), async || {
            metrics(url).await.get(&count(statement)).copied().filter(|count| *count >= 1.0)
        })
        .await;
    }
    eventually("the producer measures", async || {
        metrics(&client.url).await.contains_key(&count("task.take_due")).then_some(())
    })
    .await;
    world.stop(worker).await;
    world.stop(reporter).await;
}

#[tokio::test]
async fn a_slow_statement_is_logged_with_its_plan_and_without_what_it_was_given() {
    let world = world_with_jobs(0).await;
    let client = Client::new(&world, "operator").await;
    let id = Uuid::now_v7();
    let mut blocker = world.database.client().await.unwrap();
    let transaction = blocker.transaction().await.unwrap();
    transaction.execute("insert into known_id (id) values ($1)", &[&id]).await.unwrap();
    let asked = json!({ "id": id, "kind": "backup", "job": "sim" });
    let (answer, ()) = tokio::join!(client.post("tasks", &asked), async {
        let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
             and query like '/* known_id.insert */%' and state_change < clock_timestamp() - interval '700 milliseconds'";
        eventually("it has waited for longer than it may", async || {
            (world.number(waits).await == 1).then_some(())
        })
        .await;
        transaction.rollback().await.unwrap();
    });
    assert_eq!(answer.status, 201, "{answer:?}");
    let told = eventually("it is logged", async || {
        let log = client.log();
        let (before, after) = log.split_once("a statement was slow")?;
        let line = before.rsplit('\n').next().unwrap_or_default();
        // The plan goes on until the next line that begins with a time.
        let rest: Vec<&str> = after.split("\n20").next()?.lines().collect();
        Some(format!("{line}a statement was slow{}", rest.join("\n")))
    })
    .await;
    for part in ["known_id.insert", "Insert on known_id", "rows=", "seconds="] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert!(!told.contains(&id.to_string()), "{told}");
}

#[tokio::test]
async fn statements_are_counted_for_the_task_that_sends_them() {
    let world = World::new().await;
    let client = world.database.client().await.unwrap();
    let ((), count) = statement::counted(async {
        keeping::told(&client).await.unwrap();
        worker::present(&client).await.unwrap();
    })
    .await;
    assert_eq!(count, 2);
}
