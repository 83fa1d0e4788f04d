//! The database pool: exhaustion is said and counted, connections that were killed heal, old ones are replaced.

use std::time::Duration;

use harness::{World, eventually};
use shared::db::{Database, DatabaseConfig, Error, session};
use tokio_util::bytes::Bytes;

fn pool(world: &World, change: impl FnOnce(&mut DatabaseConfig)) -> Database {
    let mut config = DatabaseConfig::from(world.database_url());
    change(&mut config);
    Database::new(&config, "holdfast pool test").unwrap()
}

#[tokio::test]
async fn a_pool_whose_connections_are_all_busy_says_so_and_counts_it() {
    let world = World::new().await;
    let database = pool(&world, |config| {
        config.pool_size = 1;
        config.pool_wait = Duration::from_millis(50);
    });
    let busy = database.client().await.unwrap();
    let error = database.client().await.err().unwrap();
    assert!(matches!(error, Error::Exhausted { size: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("all 1 stayed busy for 50ms"), "{error}");
    assert_eq!(database.status().exhausted, 1);
    drop(busy);
    database.ping().await.unwrap();
    assert_eq!(database.status().exhausted, 1);
}

#[tokio::test]
async fn connections_that_the_server_killed_are_replaced_before_they_are_used() {
    let world = World::new().await;
    let database = pool(&world, |config| config.pool_size = 2);
    for _ in 0..20 {
        let (one, two) = (database.client().await.unwrap(), database.client().await.unwrap());
        drop((one, two));
        let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where application_name = 'holdfast pool test'";
        assert_eq!(world.number(kill).await, 2);
        database.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_session_is_ended_whose_worker_stands_still_in_the_middle_of_a_statement() {
    let world = World::new().await;
    let database = Database::new(&DatabaseConfig::from(world.database_url()), "holdfast worker").unwrap();
    let mut client = database.client().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    // The server waits for rows, and none come.
    let rows = transaction.copy_in::<_, Bytes>("copy known_id (id) from stdin").await.unwrap();
    let other = world.database.client().await.unwrap();
    assert_eq!(session::end_stuck(&other, Duration::from_mins(1)).await.unwrap(), 0, "not so soon");
    let ended = async || (session::end_stuck(&other, Duration::ZERO).await.unwrap() == 1).then_some(());
    eventually("the session is ended", ended).await;
    drop(rows);
    transaction.commit().await.unwrap_err();
    database.ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_is_not_used_for_longer_than_its_life() {
    let world = World::new().await;
    let pid = async |database: &Database| -> i32 {
        let client = database.client().await.unwrap();
        client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
    };
    let ageless = pool(&world, |config| config.pool_size = 1);
    assert_eq!(pid(&ageless).await, pid(&ageless).await);
    let short_lived = pool(&world, |config| {
        config.pool_size = 1;
        config.connection_lifetime = Duration::from_nanos(1);
    });
    assert_ne!(pid(&short_lived).await, pid(&short_lived).await);
}

#[tokio::test]
async fn every_wrong_pool_setting_is_named_at_the_start() {
    let world = World::new().await;
    let settings = ["database.pool_size=0", "database.pool_wait=soon", "database.verify_connections=maybe"];
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let run = world.producer(&[&arguments[..], &["migrate"]].concat()).await;
    assert_eq!(run.code, 2, "{run:?}");
    for setting in settings {
        let (key, _) = setting.split_once('=').unwrap();
        assert!(run.stderr.contains(key), "{key} is missing: {run:?}");
    }
}

#[tokio::test]
async fn a_process_that_stops_in_a_transaction_does_not_keep_its_locks_for_ever() {
    let world = World::new().await;
    let client = world.database.client().await.unwrap();
    for (setting, value) in [("idle_in_transaction_session_timeout", "15s"), ("lock_timeout", "10s")] {
        let row = client.query_one(&format!("show {setting}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), value, "{setting}");
    }
}
