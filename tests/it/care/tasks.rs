//! Tasks of the kind `maintain`: each does what it says, a dry run nothing, and nobody is kept from working meanwhile.

use harness::{World, eventually};
use serde_json::{Value, json};
use tokio_postgres::IsolationLevel;

use super::{enqueue, figures, maintain, world_with_jobs};
use crate::http::Client;

/// What a dry run must leave as it is: rows, and the files of tables and indexes.
const STATE: &str = "select (select string_agg(relname || ' ' || relfilenode, ', ' order by oid) from pg_class
         where relnamespace = 'public'::regnamespace)
     || (select count(*) from audit where name = 'd') || ' ' || (select count(*) from report) || ' ' || (select count(*) from known_id
         where day < current_date) || ' ' || (select n_dead_tup from pg_stat_all_tables where relname = 'token')";

/// A lock that a vacuum waits for, however long a busy machine takes.
const HELD: &str = "set local idle_in_transaction_session_timeout = 0; lock table line in share mode";

/// Old rows of several kinds, and dead rows that no vacuum of the server's own takes away.
async fn age(world: &World) {
    world
        .execute(
            "alter table token set (autovacuum_enabled = false);
             insert into token (key, last) select 'k' || i, now() from generate_series(1, 5000) i;
             delete from token where key not in (select 'k' || i from generate_series(1, 100) i);
             insert into report (id, kind, period_start, period_end, title, headline, summary, task_id, created_at)
                 select gen_random_uuid(), 'daily', now(), now(), 'x', 'x', 'x', gen_random_uuid(), now() - i * interval '1 day'
                 from unnest(array[0, 89, 91, 100]) i;
             insert into audit (at, actor, action, subject, name) select now() - i * interval '1 day', 'a', 'b', 'c', 'd'
                 from unnest(array[0, 399, 401]) i;
             insert into known_id (id, day) select gen_random_uuid(), current_date - i from unnest(array[0, 7, 8, 30]) i",
        )
        .await;
    let dead = "select n_dead_tup from pg_stat_all_tables where relname = 'token'";
    eventually("the server has counted the dead rows", async || {
        (world.number(dead).await >= 4_900).then_some(())
    })
    .await;
}

/// A producer has said how long what is kept, and does not sweep any more; a worker runs.
async fn told(world: &World) -> devstack::Service {
    let producer = world.start_producer();
    eventually("a producer has said what is kept", async || {
        (world.number("select count(*) from keeping").await == 1).then_some(())
    })
    .await;
    // Its first upkeep is through with this.
    let duty = "enqueueing what workers maintain";
    eventually("its upkeep is through", async || producer.log().contains(duty).then_some(())).await;
    producer
}

#[tokio::test]
async fn what_is_old_goes_and_a_dry_run_only_counts_it() {
    let world = world_with_jobs(0).await;
    let (producer, worker) = (told(&world).await, world.start_worker("w1", &[]));
    age(&world).await;
    let before = world.text(STATE).await;
    let what = "what=reports,ids,audit,months";
    let counted = maintain(&world, &["action=sweep", what, "dry_run=true"]).await;
    assert_eq!(world.text(STATE).await, before, "a dry run has changed something");
    let rows = |figures: &Value| ["reports", "ids", "audit", "months"].map(|old| figures[old].clone());
    assert_eq!(rows(&counted), [2, 2, 1, 0].map(Value::from));

    let swept = maintain(&world, &["action=sweep", what]).await;
    assert_eq!(rows(&swept), rows(&counted), "a dry run has counted something else");
    assert_eq!(world.number("select count(*) from report").await, 2);
    assert_eq!(world.number("select count(*) from known_id where day < current_date").await, 1);
    assert_eq!(world.number("select count(*) from audit where name = 'd'").await, 2);
    let reports = swept["swept"].as_array().unwrap().iter().find(|swept| swept["what"] == "reports").unwrap();
    assert!(reports["bytes_before"].as_i64() > Some(0) && reports["seconds"].is_number(), "{swept}");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn dead_rows_make_room_and_statistics_are_made_anew() {
    let world = world_with_jobs(0).await;
    let (producer, worker) = (told(&world).await, world.start_worker("w1", &[]));
    age(&world).await;
    let before = world.text(STATE).await;
    for action in ["action=vacuum", "action=analyze", "action=reindex"] {
        maintain(&world, &[action, "dry_run=true"]).await;
        assert_eq!(world.text(STATE).await, before, "{action} has changed something in a dry run");
    }
    let vacuumed = maintain(&world, &["action=vacuum"]).await;
    let token =
        vacuumed["tables"].as_array().unwrap().iter().find(|table| table["table"] == "token").unwrap();
    assert_eq!((&token["dead_rows_before"], &token["dead_rows_after"]), (&json!(4900), &json!(0)));
    assert!(token["bytes_after"].as_i64() <= token["bytes_before"].as_i64(), "{token}");

    let analyzed = "select count(*) from pg_stat_all_tables
         where relname in ('execution', 'evidence') and last_analyze > now() - interval '1 minute'";
    world.execute("select pg_stat_reset()").await;
    assert_eq!(world.number(analyzed).await, 0);
    let done = maintain(&world, &["action=analyze"]).await;
    let tables: Vec<&str> =
        done["tables"].as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap()).collect();
    assert!(tables.starts_with(&["evidence", "execution"]), "{tables:?}");
    assert_eq!(world.number(analyzed).await, 2);

    let id = enqueue(&world, &["action=vacuum", "tables=line,token"]).await;
    assert_eq!(figures(&world, id).await["tables"].as_array().unwrap().len(), 2, "those that were named");
    let shown = world.producer(&["tasks", "show", &id.to_string()]).await;
    assert!(shown.stdout.contains("dead rows before") && shown.stdout.contains("token"), "{shown:?}");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_is_in_no_list_is_refused_with_its_field_whoever_asks() {
    let world = world_with_jobs(0).await;
    for (param, field) in [
        ("action=drop", "action"),
        ("tables=pg_class", "tables"),
        ("tables=task; drop table task", "tables"),
        ("what=job", "what"),
    ] {
        let action = match field {
            "tables" => "action=vacuum",
            _ => "action=sweep",
        };
        let params = if field == "action" {
            vec!["--param", param]
        } else {
            vec!["--param", action, "--param", param]
        };
        let run = world.producer(&[&["enqueue", "maintain"][..], &params].concat()).await;
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(&format!("{field}: ")), "{run:?}");
    }
    let mut client = Client::new(&world, "operator").await;
    let vacuum = json!({ "kind": "maintain", "params": { "action": "vacuum", "tables": ["line"] } });
    let answer = client.post("tasks", &vacuum).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.to_string().contains("admin is needed"), "{answer:?}");
    let admin = crate::http::token(&world, "dba", &["--role", "admin", "--machine"]).await;
    client.token = admin;
    let wrong = json!({ "kind": "maintain", "params": { "action": "vacuum", "tables": ["pg_class"] } });
    let answer = client.post("tasks", &wrong).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.to_string().contains("tables: "), "{answer:?}");
    assert_eq!(client.post("tasks", &vacuum).await.status, 201);
    let definitions = |tables: Value| {
        let upkeep = json!([{ "name": "weekly", "action": "reindex", "tables": tables, "schedule": { "cron": "@weekly" } }]);
        world.write("upkeep.yaml", json!({ "upkeep": upkeep }).to_string())
    };
    let run = world.producer(&["apply", definitions(json!(["pg_class"])).to_str().unwrap()]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("upkeep.weekly.tables"), "{run:?}");
    let run = world.producer(&["apply", definitions(json!(["execution"])).to_str().unwrap()]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let params =
        world.text("select params::text from schedule where kind = 'maintain' and name = 'weekly'").await;
    let params: Value = serde_json::from_str(&params.unwrap()).unwrap();
    assert_eq!(params, json!({ "action": "reindex", "tables": ["execution"] }));
}

/// The server's sessions that are at a statement that begins so.
async fn active(world: &World, beginning: &str) -> i64 {
    let statement = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and query like '{beginning}%'"
    );
    world.number(&statement).await
}

#[tokio::test]
async fn a_vacuum_whose_end_is_asked_for_ends_at_the_server_too() {
    let world = world_with_jobs(0).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let mut blocker = world.database.client().await.unwrap();
    let transaction = blocker.transaction().await.unwrap();
    transaction.batch_execute(HELD).await.unwrap();
    let id = enqueue(&world, &["action=vacuum", "tables=line"]).await;
    eventually("it is at it", async || (active(&world, "vacuum").await == 1).then_some(())).await;
    let run = world.producer(&["tasks", "cancel", &id.to_string(), "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(active(&world, "vacuum").await, 0, "the server is at it still");
    let outcome = format!("select outcome from execution where task_id = '{id}'");
    assert_eq!(world.text(&outcome).await.as_deref(), Some("cancelled"));
    let locks = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1667330661";
    eventually("its lock is free", async || (world.number(locks).await == 0).then_some(())).await;
    transaction.rollback().await.unwrap();
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn two_workers_take_turns_on_one_table() {
    let world = world_with_jobs(0).await;
    let producer = world.start_producer();
    let workers =
        ["w1", "w2"].map(|name| world.start_worker(name, &[("HOLDFAST_POOLS_MAINTAIN_SLOTS", "2")]));
    let mut blocker = world.database.client().await.unwrap();
    let transaction = blocker.transaction().await.unwrap();
    transaction.batch_execute(HELD).await.unwrap();
    let ids = [
        enqueue(&world, &["action=vacuum", "tables=line"]).await,
        enqueue(&world, &["action=vacuum", "tables=line"]).await,
    ];
    eventually("both run", async || {
        (world.number("select count(*) from lease where kind = 'maintain'").await == 2).then_some(())
    })
    .await;
    let asks = "select count(*) from pg_stat_activity where datname = current_database() and query like '/* care.lock */%'";
    eventually("one is at it and the other asks for its turn", async || {
        (active(&world, "vacuum").await == 1 && world.number(asks).await == 1).then_some(())
    })
    .await;
    transaction.rollback().await.unwrap();
    for id in ids {
        assert!(figures(&world, id).await["tables"][0]["seconds"].is_number());
    }
    for worker in workers {
        world.stop(worker).await;
    }
    world.stop(producer).await;
}

#[tokio::test]
async fn claims_go_on_while_an_index_is_built_anew_and_what_a_broken_off_build_left_goes() {
    let world = world_with_jobs(0).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let building = "select count(*) from pg_stat_progress_create_index where datname = current_database() and phase like 'waiting%'";
    // Whoever builds beside waits for all that was begun before, so the build stands still at its beginning or its end.
    let mut old = world.database.client().await.unwrap();
    let snapshot = old.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = snapshot.start().await.unwrap();
    let held = "set local idle_in_transaction_session_timeout = 0; select count(*) from task";
    transaction.batch_execute(held).await.unwrap();
    let id = enqueue(&world, &["action=reindex", "tables=task", "all=true"]).await;
    eventually("it builds", async || (world.number(building).await == 1).then_some(())).await;
    let run = world.producer(&["enqueue", "backup", "--job", "sim", "--wait", "--timeout", "50s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.number(building).await, 1, "the build was not under way any more");

    let run = world.producer(&["tasks", "cancel", &id.to_string(), "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    transaction.rollback().await.unwrap();
    drop(old);
    let invalid = "select count(*) from pg_index where not indisvalid";
    assert_eq!(world.number(invalid).await, 1, "nothing is left of the build that was broken off");
    let advised = world.run("reporter", ["db", "advise", "--json"]).await;
    assert!(advised.stdout.contains("invalid_index"), "{advised:?}");
    let figures = maintain(&world, &["action=reindex", "tables=task", "all=true"]).await;
    assert_eq!(figures["leftovers"].as_array().unwrap().len(), 1, "{figures}");
    let indexes = world.number("select count(*) from pg_index where indrelid = 'task'::regclass").await;
    assert_eq!(i64::try_from(figures["indexes"].as_array().unwrap().len()).unwrap(), indexes, "{figures}");
    assert_eq!(world.number(invalid).await, 0);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_role_that_may_not_look_after_a_table_is_told_so() {
    let world = world_with_jobs(0).await;
    let role = format!("weak_{}", uuid::Uuid::now_v7().simple());
    world
        .execute(&format!(
            "create role {role} login password 'weak'; grant all on all tables in schema public to {role};
             grant all on all sequences in schema public to {role}"
        ))
        .await;
    let (scheme, rest) = world.database_url().split_once("://").unwrap();
    let (_, place) = rest.rsplit_once('@').unwrap();
    let url = format!("{scheme}://{role}:weak@{place}");
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("DATABASE_URL", &url)]);
    let id = enqueue(&world, &["action=vacuum", "tables=line"]).await;
    let error = format!("select error from execution where task_id = '{id}'");
    let error = eventually("it has ended", async || world.text(&error).await).await;
    assert!(error.contains("neither owns line nor has the privilege MAINTAIN"), "{error}");
    world.stop(worker).await;
    world.stop(producer).await;
    world.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
