//! What would help the database, and that it does.

use harness::World;
use serde_json::{Value, json};
use shared::db::restore_point;
use shared::job::JobId;
use shared::target::TargetId;

use super::{maintain, world_with_jobs};

/// What would help, by what is wrong and with what; the exit code has to say whether there is anything.
async fn advice(world: &World, options: &[&str]) -> Vec<Value> {
    let arguments = [&["db", "advise", "--json", "--counted-for", "0s"], options].concat();
    let run = world.run("reporter", arguments).await;
    let found: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let advice = found["advice"].as_array().unwrap().clone();
    assert_eq!(run.code, i32::from(!advice.is_empty()), "{run:?}");
    advice
}

fn about<'a>(advice: &'a [Value], kind: &str, object: &str) -> Option<&'a Value> {
    advice.iter().find(|advice| advice["kind"] == kind && advice["object"] == object)
}

#[tokio::test]
async fn an_index_that_nothing_uses_and_one_that_another_one_covers_are_found() {
    let world = world_with_jobs(3_000).await;
    assert_eq!(advice(&world, &[]).await, Vec::<Value>::new());
    world.execute("create index extra on job (version); create index twin on job (name)").await;
    let found = advice(&world, &[]).await;
    let unused = about(&found, "unused_index", "extra").unwrap();
    assert_eq!(unused["remedy"], "drop index concurrently extra");
    assert!(unused["before"]["value"].as_f64().unwrap() > 0.0, "{unused}");
    let twin = about(&found, "duplicate_index", "twin").unwrap();
    assert!(twin["why"].as_str().unwrap().starts_with("job_name_key is over the same"), "{twin}");
    // What keeps names unique is used by nothing either, and stays.
    let constraints =
        found.iter().filter(|advice| advice["object"] == "job_name_key" || advice["object"] == "job_pkey");
    assert_eq!(constraints.count(), 0, "{found:?}");
    // Of an index that is as young as the statistics nobody knows whether it is used.
    let run = world.run("reporter", ["db", "advise", "--json"]).await;
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(about(found["advice"].as_array().unwrap(), "unused_index", "extra").is_none(), "{found}");
    assert!(found["notes"][0].as_str().unwrap().contains("unused indexes were not looked for"), "{found}");
    let run = world.run("reporter", ["db", "advise"]).await;
    assert!(run.stdout.contains("duplicate index twin: job_name_key is over the same"), "{run:?}");
}

#[tokio::test]
async fn a_bloated_index_is_found_and_smaller_after_the_task_that_is_recommended() {
    let world = world_with_jobs(0).await;
    world
        .execute(
            "alter table known_id set (autovacuum_enabled = false);
             insert into known_id (id) select gen_random_uuid() from generate_series(1, 100000);
             delete from known_id where get_byte(uuid_send(id), 15) > 10",
        )
        .await;
    world.execute("vacuum (analyze) known_id").await;
    let found = advice(&world, &[]).await;
    let bloated = about(&found, "bloated_index", "known_id_pkey").unwrap_or_else(|| panic!("{found:?}"));
    let (before, expected) =
        (bloated["before"]["value"].as_f64().unwrap(), bloated["after"]["value"].as_f64().unwrap());
    assert_eq!(bloated["after"]["basis"], "estimated");
    assert_eq!(bloated["remedy"], "producer enqueue maintain --param action=reindex --param tables=known_id");

    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let figures = maintain(&world, &["action=reindex", "tables=known_id"]).await;
    let index = &figures["indexes"][0];
    assert_eq!(index["index"], "known_id_pkey");
    let after = index["bytes_after"].as_f64().unwrap();
    assert!(after < before / 4.0, "{figures}");
    assert!((after - expected).abs() < before / 10.0, "{expected} were expected: {figures}");
    let size = world.number("select pg_relation_size('known_id_pkey')").await;
    assert_eq!(index["bytes_after"], size);
    let found = advice(&world, &[]).await;
    assert!(about(&found, "bloated_index", "known_id_pkey").is_none(), "{found:?}");
    world.stop(worker).await;
    world.stop(producer).await;
}

/// A world whose restore points are read from end to end.
pub(super) async fn world_that_misses_an_index() -> World {
    let world = world_with_jobs(2_000).await;
    world
        .execute(
            "drop index restore_point_job_id_target_id_data_time_idx;
             insert into restore_point (id, job_id, target_id, snapshot, data_time, seconds, files, bytes, bytes_added,
                 source_errors, task_id)
             select gen_random_uuid(), job.id, target.id, 's', now(), 1, 1, 1, 1, 0, gen_random_uuid()
             from job, target, generate_series(1, 10);
             analyze restore_point",
        )
        .await;
    let client = world.database.client().await.unwrap();
    for _ in 0..12 {
        restore_point::of(&client, JobId(1), TargetId(1)).await.unwrap();
    }
    client.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();
    drop(client);
    world
}

#[tokio::test]
async fn an_index_that_is_missing_is_found_by_the_statement_that_misses_it_and_tried() {
    let world = world_that_misses_an_index().await;
    let object = "restore_point (job_id, target_id)";
    let found = advice(&world, &[]).await;
    let missing = about(&found, "missing_index", object).unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(missing["after"], json!(null), "nobody knows without trying");
    let found = advice(&world, &["--try"]).await;
    let tried = about(&found, "missing_index", object).unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(tried["after"]["basis"], "planned");
    let cost = |figure: &str| tried[figure]["value"].as_f64().unwrap();
    assert!(cost("after") < cost("before") / 5.0, "{tried}");
    let left = world.number("select count(*) from pg_class where relname like 'holdfast_trial%'").await;
    assert_eq!(left, 0, "what was tried is left behind");
}

#[tokio::test]
async fn the_figures_of_the_database_are_those_that_it_has() {
    let world = world_with_jobs(3_000).await;
    let stats = world.run("reporter", ["db", "stats", "--json"]).await.json();
    let table = stats["tables"].as_array().unwrap().iter().find(|table| table["name"] == "job").unwrap();
    assert_eq!(table["rows"], 3_001);
    assert_eq!(table["bytes"], world.number("select pg_table_size('job')").await);
    let months =
        stats["tables"].as_array().unwrap().iter().filter(|table| table["table"] == "execution").count();
    let there =
        world.number("select count(*) from pg_inherits where inhparent = 'execution'::regclass").await;
    assert_eq!(i64::try_from(months).unwrap(), there, "each month is a table of its own");
    let indexes = stats["indexes"].as_array().unwrap();
    assert!(
        indexes.iter().any(|index| index["name"] == "job_name_key" && index["constraint"] == true),
        "{indexes:?}"
    );
    let mut client = world.database.client().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("select from job limit 1", &[]).await.unwrap();
    let text = world.run("reporter", ["db", "stats"]).await;
    transaction.rollback().await.unwrap();
    assert_eq!(text.code, 0, "{text:?}");
    for part in ["found in cache", "oldest transaction: holdfast test", "pg_stat_statements", "holdfast test"]
    {
        assert!(text.stdout.contains(part), "{part} is missing in {}", text.stdout);
    }
    assert!(!text.stdout.contains('\u{1b}'), "colours are for terminals");
}
