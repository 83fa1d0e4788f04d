//! Servers that cannot be trusted are refused, with the reason and without a way round it.

use std::time::Duration;

use devstack::Certificate;
use harness::{Authority, Validity, World, eventually};
use shared::broker::Broker;
use shared::db::{Database, DatabaseConfig};
use shared::settings::{Settings, Sources};
use shared::tls::Trust;

use super::{NAMES, Secured};

/// What each bad certificate is refused with.
fn cases(authority: &Authority, stranger: &Authority) -> [(&'static str, Certificate, &'static str); 4] {
    [
        (
            "another host's",
            authority.issue("DNS:db.example.org", Validity::Now),
            "is for db.example.org, and not for 127.0.0.1",
        ),
        ("expired", authority.issue(NAMES, Validity::Over), "expired at 2025-01-31T00:00:00Z"),
        ("self-signed", authority.self_signed(NAMES), "is self-signed (CN=self)"),
        (
            "a stranger's",
            stranger.issue(NAMES, Validity::Now),
            "is issued by CN=A stranger, which is not trusted",
        ),
    ]
}

fn trust(authority: &Authority) -> Trust {
    let overrides = vec![format!("tls.ca={}", authority.file().display())];
    let mut settings = Settings::open(&Sources { config: None, overrides });
    let trust = Trust::read(&mut settings);
    settings.finish().unwrap();
    trust
}

async fn asked(url: &str, trust: &Trust) -> Result<(), String> {
    let config = DatabaseConfig::new(url.into(), trust.clone());
    Database::new(&config, "refused").unwrap().ping().await.map_err(|error| error.to_string())
}

async fn connected(url: &str, trust: &Trust) -> Result<(), String> {
    let broker = Broker::new(url.into(), trust.clone(), "refused").unwrap();
    broker.connect("test").await.map(drop).map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn a_certificate_that_is_no_good_is_refused_by_database_and_broker_connections_with_the_reason() {
    let (authority, stranger) = (Authority::new("Holdfast test authority"), Authority::new("A stranger"));
    let good = authority.issue(NAMES, Validity::Now);
    let mut servers = Secured::start(good.clone()).await;
    let (plain, trust) = (servers.stack.postgres.url(), trust(&authority));
    let database = |parameters: &str| format!("{plain}?{parameters}");
    let broker = servers.amqps(&servers.stack.rabbitmq.url());
    asked(&database("sslmode=verify-full"), &trust).await.unwrap();
    connected(&broker, &trust).await.unwrap();
    // Who is not told of the authority does not know it.
    let unknown = asked(&database("sslmode=verify-full"), &Trust::default()).await.unwrap_err();
    assert!(unknown.contains("issued by CN=Holdfast test authority, which is not trusted"), "{unknown}");

    for (name, certificate, said) in cases(&authority, &stranger) {
        servers.stack.postgres.show(certificate.clone()).unwrap();
        servers.stack.rabbitmq.show(certificate).await.unwrap();
        // The server reads its files a moment after it was told to.
        eventually(&format!("what is {name} is refused: {said}"), async || {
            let refused = asked(&database("sslmode=verify-full"), &trust).await.err()?;
            refused.contains(said).then_some(())
        })
        .await;
        let by_broker = connected(&broker, &trust).await.unwrap_err();
        assert!(by_broker.contains(said), "{name}: {by_broker}");
        // Less is verified only by whoever asks for less.
        asked(&database("sslmode=require"), &trust).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let issuer_only = asked(&database("sslmode=verify-ca"), &trust).await;
        assert_eq!(issuer_only.is_ok(), name == "another host's", "{name}: {issuer_only:?}");
    }
    servers.stack.discard().await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_a_server_is_said_clearly() {
    let authority = Authority::new("Holdfast test authority");
    let servers = Secured::start(authority.issue(NAMES, Validity::Now)).await;
    let trust = trust(&authority);
    // PostgreSQL takes nothing but TLS here.
    let plain = asked(&servers.stack.postgres.url(), &trust).await.unwrap_err();
    assert!(plain.contains("the server wants TLS, which sslmode=verify-full in the URL gives it"), "{plain}");
    // `prefer` encrypts where that is offered, or this server would refuse it.
    asked(&format!("{}?sslmode=prefer", servers.stack.postgres.url()), &trust).await.unwrap();
    let to_tls_port = servers.amqps(&servers.stack.rabbitmq.url()).replace("amqps://", "amqp://");
    let began = std::time::Instant::now();
    let plain = connected(&to_tls_port, &trust).await.unwrap_err();
    assert!(plain.contains("amqps://"), "{plain}");
    assert!(began.elapsed() < Duration::from_secs(15), "it ends in time");
    let to_plain_port = servers.stack.rabbitmq.url().replace("amqp://", "amqps://");
    let by_broker = connected(&to_plain_port, &trust).await.unwrap_err();
    assert!(by_broker.contains("does not speak TLS"), "{by_broker}");
    servers.stack.discard().await.unwrap();

    // The tests' own server speaks no TLS.
    let world = World::new().await;
    let without = format!("{}?sslmode=verify-full", world.database_url());
    let without = asked(&without, &trust).await.unwrap_err();
    assert!(without.contains("the server does not offer TLS"), "{without}");
    let preferred = format!("{}?sslmode=prefer", world.database_url());
    asked(&preferred, &trust).await.unwrap();
}

#[tokio::test]
async fn a_service_says_once_which_certificate_it_refuses_and_works_when_that_is_renewed() {
    let authority = Authority::new("Holdfast test authority");
    let mut servers = Secured::start(authority.issue(NAMES, Validity::Now)).await;
    let world = World::on(&servers.servers(&authority)).await;
    servers.stack.rabbitmq.show(authority.issue(NAMES, Validity::Over)).await.unwrap();
    let (broker, ca) = (servers.amqps(&world.broker.url), authority.file().display().to_string());
    let settings = [("AMQP_URL", broker.as_str()), ("HOLDFAST_TLS_CA", ca.as_str())];
    let worker = world.start_worker("w1", &settings);
    let said = "expired at 2025-01-31T00:00:00Z";
    eventually("it is said", async || worker.log().contains(said).then_some(())).await;
    servers.stack.rabbitmq.show(authority.issue(NAMES, Validity::Now)).await.unwrap();
    eventually("the worker connects", async || {
        worker.log().contains("connected to the broker").then_some(())
    })
    .await;
    let log = worker.log();
    let of_publisher = log.lines().filter(|line| line.contains(said) && line.contains("purpose=\"publish\""));
    assert_eq!(of_publisher.count(), 1, "{log}");
    world.stop(worker).await;
    servers.stack.discard().await.unwrap();
}
