//! A database for each test, cloned from a migrated template.

use deadpool_postgres::Client;
use shared::clock;
use shared::db::{self, Database};

/// Any constant will do that nothing else in the tests' server uses.
const ADVISORY_LOCK: i64 = 7;
const TEMPLATE: &str = "holdfast_template";

/// Creates the database `name` on a server and returns its URL.
pub(crate) async fn create(server: &str, name: &str) -> String {
    let database = Database::new(&server.into(), "holdfast test").expect("a database's URL");
    let client = database.client().await.expect("connecting to PostgreSQL");
    // Whoever makes the template may take longer than a process of ours waits for a lock.
    client.batch_execute("set lock_timeout = 0").await.unwrap();
    client.execute("select pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await.unwrap();
    ensure_template(&client, server).await;
    client.batch_execute(&format!("create database {name} template {TEMPLATE}")).await.unwrap();
    client.execute("select pg_advisory_unlock($1)", &[&ADVISORY_LOCK]).await.unwrap();
    with_database(server, name)
}

async fn ensure_template(client: &Client, server: &str) {
    let exists = "select count(*) from pg_database where datname = $1";
    if client.query_one(exists, &[&TEMPLATE]).await.unwrap().get::<_, i64>(0) == 1 {
        return;
    }
    // Under another name until it is whole: a test that dies here leaves no half template behind.
    let unfinished = format!("{TEMPLATE}_unfinished");
    client.batch_execute(&format!("drop database if exists {unfinished} with (force)")).await.unwrap();
    client.batch_execute(&format!("create database {unfinished}")).await.unwrap();
    migrate(&with_database(server, &unfinished)).await;
    // A connection that was just dropped may still be on its way out.
    let kick = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    client.execute(kick, &[&unfinished]).await.unwrap();
    client.batch_execute(&format!("alter database {unfinished} rename to {TEMPLATE}")).await.unwrap();
}

async fn migrate(url: &str) {
    let database = Database::new(&url.into(), "holdfast template").unwrap();
    db::migration::migrate(&database).await.unwrap();
    let mut client = database.client().await.unwrap();
    db::partition::create_ahead(&mut client, clock::now(), 1).await.unwrap();
}

fn with_database(server: &str, name: &str) -> String {
    let (place, parameters) = server.split_once('?').unwrap_or((server, ""));
    let (base, _) = place.rsplit_once('/').expect("a URL with a database");
    if parameters.is_empty() { format!("{base}/{name}") } else { format!("{base}/{name}?{parameters}") }
}
