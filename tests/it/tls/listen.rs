//! HTTPS on `listen`: clients see what they should, a slow handshake holds nobody up, and a renewed certificate is taken up.

use std::time::{Duration, Instant};

use harness::{Authority, Validity, World, eventually};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::NAMES;

struct Shown {
    certificate: String,
    key: String,
}

impl Shown {
    fn write(world: &World, certificate: &devstack::Certificate) -> Self {
        let path = |name: &str, text: &str| world.write(name, text).display().to_string();
        Self { certificate: path("tls.crt", &certificate.chain), key: path("tls.key", &certificate.key) }
    }

    fn settings(&self) -> [(&str, &str); 2] {
        [("HOLDFAST_TLS_CERTIFICATE", &self.certificate), ("HOLDFAST_TLS_KEY", &self.key)]
    }
}

fn client(authority: &Authority) -> reqwest::Client {
    let trusted = reqwest::Certificate::from_pem(&std::fs::read(authority.file()).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_merge([trusted]).pool_max_idle_per_host(0);
    client.timeout(Duration::from_secs(10)).build().unwrap()
}

/// Whether a client that trusts only this authority is served.
async fn serves(authority: &Authority, url: &str) -> bool {
    client(authority).get(format!("{url}/healthz")).send().await.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_without_a_restart_and_a_broken_one_is_not() {
    let (first, second) = (Authority::new("First"), Authority::new("Second"));
    let world = World::new().await;
    let shown = Shown::write(&world, &first.issue(NAMES, Validity::Now));
    let (reporter, plain) = world.start_reporter_with("reporter", &shown.settings()).await;
    let url = plain.replace("http://", "https://");
    assert!(serves(&first, &url).await && !serves(&second, &url).await);

    // A certificate without its key is half a renewal: the old one stays.
    let renewed = second.issue(NAMES, Validity::Now);
    world.write("tls.crt", &renewed.chain);
    let no_good = "the renewed certificate is no good: the old one goes on being shown";
    eventually("it is said", async || reporter.log().contains(no_good).then_some(())).await;
    assert!(serves(&first, &url).await);
    world.write("tls.key", &renewed.key);
    eventually("the new one is shown", async || serves(&second, &url).await.then_some(())).await;
    assert!(!serves(&first, &url).await);
    assert_eq!(reporter.log().matches(no_good).count(), 1, "{}", reporter.log());
    world.stop(reporter).await;
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_keeps_nobody_waiting_and_is_cut_off() {
    let authority = Authority::new("Holdfast test authority");
    let world = World::new().await;
    let shown = Shown::write(&world, &authority.issue(NAMES, Validity::Now));
    let (reporter, plain) = world.start_reporter_with("reporter", &shown.settings()).await;
    let address = plain.trim_start_matches("http://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    assert!(serves(&authority, &format!("https://{address}")).await);
    // Cut off after ten seconds; a client learns that by the end of its connection.
    let end = tokio::time::timeout(Duration::from_secs(30), silent[0].read(&mut [0; 16])).await;
    assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    world.stop(reporter).await;
}

#[tokio::test]
async fn who_says_nothing_in_the_handshake_does_not_delay_a_stop() {
    let authority = Authority::new("Holdfast test authority");
    let world = World::new().await;
    let shown = Shown::write(&world, &authority.issue(NAMES, Validity::Now));
    let (reporter, plain) = world.start_reporter_with("reporter", &shown.settings()).await;
    let address = plain.trim_start_matches("http://").to_owned();
    let _silent = TcpStream::connect(&address).await.unwrap();
    // Taken behind it: the silent one is in its handshake.
    assert!(serves(&authority, &format!("https://{address}")).await);
    let began = Instant::now();
    world.stop(reporter).await;
    assert!(began.elapsed() < Duration::from_secs(5), "the stop took {:?}", began.elapsed());
}

#[tokio::test]
async fn clients_and_our_own_webhooks_refuse_certificates_that_are_no_good() {
    let (authority, stranger) = (Authority::new("Holdfast test authority"), Authority::new("A stranger"));
    let good = "refused with 404";
    for (name, certificate, said) in [
        (
            "another host's",
            authority.issue("DNS:db.example.org", Validity::Now),
            "is for db.example.org, and not for 127.0.0.1",
        ),
        (
            "a stranger's",
            stranger.issue(NAMES, Validity::Now),
            "is issued by CN=A stranger, which is not trusted",
        ),
        ("self-signed", authority.self_signed(NAMES), "is self-signed (CN=self)"),
        ("expired", authority.issue(NAMES, Validity::Over), "expired at 2025-01-31T00:00:00Z"),
        ("good", authority.issue(NAMES, Validity::Now), good),
    ] {
        let world = World::new().await;
        let shown = Shown::write(&world, &certificate);
        let (reporter, plain) = world.start_reporter_with("reporter", &shown.settings()).await;
        let url = plain.replace("http://", "https://");
        assert_eq!(serves(&authority, &url).await, said == good, "{name}");
        let hook = json!({ "name": "hook", "kind": "webhook", "url": format!("{url}/hook"), "allow_private": true,
            "secret": { "file": world.path("password") } });
        world.apply(&json!({ "channels": [hook] })).await;
        let trusting = [("HOLDFAST_TLS_CA", authority.file().display().to_string())];
        let trusting = trusting.each_ref().map(|(name, file)| (*name, file.as_str()));
        let test = ["notifications", "test", "--channel", "hook"];
        let run = world.run_with("reporter", test, &trusting).await;
        assert!(run.code == 1 && run.stdout.contains(said), "{name}: {run:?}");
        // The process itself begins, and says what is wrong.
        let doubtful =
            reporter.log().contains("tls.certificate") && reporter.log().contains("expired at 2025-01-31");
        assert_eq!(doubtful, name == "expired", "{}", reporter.log());
        world.stop(reporter).await;
    }
}
