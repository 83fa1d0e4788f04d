//! The care of the database: statements by name, what would help, and the work on it.

mod advice;
mod documents;
mod statements;
mod tasks;
mod trial;

use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// Asks for a `maintain` task; returns its id.
async fn enqueue(world: &World, params: &[&str]) -> Uuid {
    let id = Uuid::now_v7();
    let text = id.to_string();
    let mut command = vec!["enqueue", "maintain", "--id", &text];
    for param in params {
        command.extend(["--param", param]);
    }
    let run = world.producer(&command).await;
    assert_eq!(run.code, 0, "{run:?}");
    id
}

/// Waits for the end of a task that has to end well; returns its figures.
async fn figures(world: &World, id: Uuid) -> Value {
    let ended = format!(
        "select outcome || ' ' || coalesce(error, '') || coalesce(detail::text, '{{}}') from execution where task_id = '{id}'"
    );
    let ended = eventually("the task has ended", async || world.text(&ended).await).await;
    let detail = ended.strip_prefix("success ").unwrap_or_else(|| panic!("{ended}"));
    serde_json::from_str(detail).unwrap()
}

/// Has a `maintain` task done; returns its figures.
async fn maintain(world: &World, params: &[&str]) -> Value {
    let id = enqueue(world, params).await;
    figures(world, id).await
}

/// One job with some more of them beside it, which take no tasks.
async fn world_with_jobs(others: u32) -> World {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let more = format!(
        "insert into job (name, definition, active) select 'job-' || i, '{{}}', false from generate_series(1, {others}) i;
         analyze job;
         select pg_stat_force_next_flush()"
    );
    world.execute(&more).await;
    world
}
