//! What one reader cannot take from the others: connections, and the memory of the server.

use std::time::Duration;

use harness::{World, eventually};
use reporter::api::entities::ALL;
use shared::db::page::{self, Asked, Condition};
use shared::db::{Database, DatabaseConfig};

use super::{Reader, world_with};
use crate::http::token;

/// Has each page of the pools take longer than any test.
async fn slow_pools(world: &World) {
    world
        .execute(
            "alter table pool_setting rename to pool_setting_of_old;
             create view pool_setting as select old.* from pool_setting_of_old old, pg_sleep(3600);
             insert into pool_setting_of_old (kind, state, set_by) values ('backup', 'running', 'test')",
        )
        .await;
}

const RUNNING: &str = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep' and application_name = 'reporter reads'";

#[tokio::test]
async fn a_statement_whose_reader_has_gone_away_is_ended_and_its_connection_is_nobody_elses() {
    let world = world_with(1).await;
    let settings = [("HOLDFAST_HTTP_STATEMENT_TIMEOUT", "1h"), ("HOLDFAST_HTTP_CONNECTIONS", "1")];
    let reader = Reader::with(&world, "viewer", &settings).await;
    eventually("it is warm", async || (reader.get("pools").await.status == 200).then_some(())).await;
    slow_pools(&world).await;
    {
        let mut slow = std::pin::pin!(reader.get("pools?limit=7"));
        let runs = eventually("it runs", async || (world.number(RUNNING).await == 1).then_some(()));
        tokio::select! {
            answer = &mut slow => panic!("{answer:?}"),
            () = runs => {}
        }
    }
    assert_eq!(reader.get("jobs?limit=7").await.status, 200);
    eventually("nothing runs for nobody", async || (world.number(RUNNING).await == 0).then_some(())).await;
}

#[tokio::test]
async fn whoever_asks_for_what_takes_long_leaves_connections_to_others() {
    let world = world_with(1).await;
    let settings = [("HOLDFAST_HTTP_STATEMENT_TIMEOUT", "1h")];
    let reader = Reader::with(&world, "viewer", &settings).await;
    let other = reader.by(token(&world, "other", &["--role", "viewer"]).await);
    eventually("it is warm", async || (reader.get("pools").await.status == 200).then_some(())).await;
    slow_pools(&world).await;
    let paths: Vec<String> = (1..=50).map(|limit| format!("pools?limit={limit}")).collect();
    let mut slow = std::pin::pin!(futures_util::future::join_all(paths.iter().map(|path| reader.get(path))));
    let meanwhile = async {
        eventually("some run", async || (world.number(RUNNING).await == 8).then_some(())).await;
        for limit in 1..=20 {
            let path = format!("jobs?limit={limit}");
            let answer = tokio::time::timeout(Duration::from_secs(5), other.get(&path)).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(world.number(RUNNING).await, 8);
    };
    tokio::select! {
        answers = &mut slow => panic!("{answers:?}"),
        () = meanwhile => {}
    }
}

#[tokio::test]
async fn a_connection_has_a_bounded_number_of_statements_ready_however_many_are_asked_for() {
    let world = world_with(1).await;
    let config = DatabaseConfig::from(world.database_url()).for_reading(Duration::from_secs(30));
    let client = Database::new(&config, "busy").unwrap().client().await.unwrap();
    let entity = ALL.iter().find(|entity| entity.path == "executions").unwrap();
    for number in 0..300 {
        let condition = Condition { sql: format!("e.attempt > {number}"), value: None };
        let asked = Asked {
            sort: &entity.listing.sorts[0],
            descending: true,
            after: None,
            limit: 3,
            conditions: vec![condition],
            fields: vec![0],
        };
        page::list(&client, &entity.listing, &asked).await.unwrap();
    }
    let ready = client.query_one("select count(*) from pg_prepared_statements", &[]).await.unwrap();
    let ready: i64 = ready.get(0);
    assert!((1..=64).contains(&ready), "{ready}");
}
