//! Everything by TLS: the three programs do their work, and a statement that is cancelled ends at the server.

use std::time::Duration;

use devstack::Service;
use harness::{Authority, Validity, World, eventually};
use serde_json::json;
use shared::db::{Database, cancel};
use tokio_util::sync::CancellationToken;

use super::{NAMES, Secured};

/// Where a service that has just started listens.
async fn port(service: &Service) -> u16 {
    eventually("the service listens", async || {
        let log = service.log();
        let address = log.split("address=").nth(1)?.split_whitespace().next()?;
        address.rsplit(':').next()?.parse().ok()
    })
    .await
}

#[tokio::test]
async fn all_programs_do_their_work_by_tls_and_a_cancelled_statement_ends_at_the_server() {
    let authority = Authority::new("Holdfast test authority");
    let certificate = authority.issue(NAMES, Validity::Now);
    let servers = Secured::start(certificate.clone()).await;
    let world = World::on(&servers.servers(&authority)).await;
    // The URL says how much is verified, and `tls.ca` by whom.
    let (place, _) = world.database_url().split_once('?').unwrap();
    let database = world.write("database-url", format!("{place}?sslmode=verify-full\n"));
    let broker = world.write("broker-url", servers.amqps(&world.broker.url));
    let [certificate, key] = [("tls.crt", &certificate.chain), ("tls.key", &certificate.key)]
        .map(|(name, text)| world.write(name, text).display().to_string());
    let (database, broker, ca) =
        (database.display().to_string(), broker.display().to_string(), authority.file());
    let settings = [
        ("DATABASE_URL", ""),
        ("DATABASE_URL_FILE", database.as_str()),
        ("AMQP_URL", ""),
        ("AMQP_URL_FILE", broker.as_str()),
        ("HOLDFAST_TLS_CA", ca.to_str().unwrap()),
        ("HOLDFAST_TLS_CERTIFICATE", certificate.as_str()),
        ("HOLDFAST_TLS_KEY", key.as_str()),
        ("HOLDFAST_LISTEN", "127.0.0.1:0"),
    ];

    world.write("source/a.txt", "alpha");
    let definitions = json!({
        "targets": [world.target("disk-a", &json!({})), world.target("nas-b", &json!({ "media": "nas" }))],
        "jobs": [world.files_job("docs", &["disk-a", "nas-b"])],
    });
    let file = world.write("definitions.yaml", definitions.to_string());
    let applied = world.run_with("producer", ["apply", file.to_str().unwrap()], &settings).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    let producer = world.start("producer", "producer", &settings);
    let worker = world.start_worker("w1", &settings);
    let reporter = world.start("reporter", "reporter", &settings);
    let run = world.run_with("producer", ["enqueue", "backup", "--job", "docs", "--wait"], &settings).await;
    assert_eq!(run.code, 0, "{run:?}\n{}\n{}", worker.log(), producer.log());
    world.wait_until_idle().await;
    assert_eq!(world.number("select count(*) from execution where outcome <> 'success'").await, 0);
    // A backup, a copy, and three levels of verification at two places.
    assert_eq!(world.number("select count(*) from execution").await, 8);
    let dead = world.run_with("producer", ["dead", "list"], &settings).await;
    assert_eq!(dead.code, 0, "dead letters are read by TLS too: {dead:?}");

    let plain = "select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid)
         where a.application_name like any (array['producer%', 'reporter%', 'holdfast worker%', 'holdfast heartbeat%'])
         and not s.ssl";
    assert_eq!(world.number(plain).await, 0, "a connection is not encrypted");
    let path = format!("vhosts/{}/connections", world.broker.name());
    let ours = eventually("the broker shows our connections", async || {
        let connections = world.broker.manage(reqwest::Method::GET, &path, None).await;
        let connections = connections.as_array().unwrap().clone();
        (connections.len() >= 5 && connections.iter().all(|one| one["ssl"].is_boolean()))
            .then_some(connections)
    })
    .await;
    assert!(ours.iter().all(|connection| connection["ssl"] == true), "{ours:?}");

    for service in [&producer, &worker, &reporter] {
        let url = format!("https://localhost:{}/healthz", port(service).await);
        let trusting = reqwest::Certificate::from_pem(&std::fs::read(&ca).unwrap()).unwrap();
        let client = reqwest::Client::builder().tls_certs_merge([trusting]).build().unwrap();
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "ok\n");
        let plain = reqwest::get(url.replace("https", "http")).await;
        assert!(plain.is_err(), "HTTPS alone is spoken: {plain:?}");
    }
    cancelled_at_the_server(&world).await;
    for service in [reporter, worker, producer] {
        world.stop(service).await;
    }
    servers.stack.discard().await.unwrap();
}

async fn cancelled_at_the_server(world: &World) {
    let database = Database::new(&world.database_url().into(), "cancelled").unwrap();
    let client = database.client().await.unwrap();
    let running =
        "select count(*) from pg_stat_activity where application_name = 'cancelled' and state = 'active'";
    let cancel = CancellationToken::new();
    let canceller = database.canceller(&client);
    let work = cancel::until(&cancel, &canceller, client.batch_execute("select pg_sleep(600)"));
    let told = async {
        eventually("the statement runs", async || (world.number(running).await == 1).then_some(())).await;
        cancel.cancel();
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(work, told) }).await;
    assert!(ended.expect("the statement ends").0.is_none());
    eventually("nothing runs at the server", async || (world.number(running).await == 0).then_some(())).await;
}
