//! Debian's nginx with the shipped files, in front of two producers and a reporter.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use devstack::{Service, ServiceCommand};
use harness::{World, eventually};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, redirect};
use rustix::process::geteuid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{run, secrets, text};
use crate::dead::world_with_jobs;
use crate::http::{Answer, token};

/// Somebody without rights.
const NOBODY: &str = "65534";
/// Whom the services trust: the gateway connects from there, and clients of these tests from other addresses of this machine.
const GATEWAY: &str = "127.0.0.1";

struct Gateway {
    http: u16,
    https: u16,
    directory: PathBuf,
    authority: Certificate,
    reporter_port: u16,
    // Ends with the test.
    _nginx: Service,
}

/// The gateway's services.
struct Behind {
    producers: Vec<Service>,
    reporter: Service,
}

impl Gateway {
    async fn start(world: &World) -> (Self, Behind) {
        let trusted = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_HTTP_TRUSTED_PROXIES", GATEWAY)];
        let (first, second) =
            (world.start("producer", "p1", &trusted), world.start("producer", "p2", &trusted));
        let (reporter, reporter_url) = world.start_reporter_with("reporter", &trusted).await;
        let mut servers = Vec::new();
        for producer in [&first, &second] {
            let address = harness::address(producer).await.replace("http://", "");
            servers.push(format!("server {address} max_fails=1 fail_timeout=5s;"));
        }
        let servers = servers.join(" ");
        let reporter_address = reporter_url.replace("http://", "");
        let reporter_port = reporter_address.rsplit_once(':').unwrap().1.parse().unwrap();
        let directory = world.path("gateway");
        let (http, https) = (free_port(), free_port());
        secrets::generate(&world.path("secrets"), &[]).await;
        install(world, &directory, [http, https], &servers, &format!("server {reporter_address};"));
        let nginx = begin(world, &directory);
        let authority = std::fs::read(world.path("secrets/ca.crt")).unwrap();
        let authority = Certificate::from_pem(&authority).unwrap();
        let gateway = Self { http, https, directory, authority, reporter_port, _nginx: nginx };
        let client = gateway.client(2);
        eventually("the gateway is ready", async || {
            client
                .get(gateway.url("/readyz"))
                .send()
                .await
                .ok()
                .filter(|answer| answer.status() == 200)
                .map(drop)
        })
        .await;
        (gateway, Behind { producers: vec![first, second], reporter })
    }

    /// Somebody at an address of their own, 127.0.0.N.
    fn client(&self, n: u8) -> Client {
        let builder =
            Client::builder().add_root_certificate(self.authority.clone()).redirect(redirect::Policy::none());
        builder.local_address(std::net::IpAddr::from(Ipv4Addr::new(127, 0, 0, n))).build().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https)
    }

    /// What nginx has written down of requests.
    fn requests(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.directory.join("stdout")).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Puts the shipped files where this nginx finds them, its variables filled in as the image does it.
fn install(world: &World, directory: &Path, [http, https]: [u16; 2], producers: &str, reporters: &str) {
    let conf = directory.join("conf.d");
    std::fs::create_dir_all(&conf).unwrap();
    let place = directory.to_str().unwrap();
    let main = text("deploy/nginx/nginx.conf")
        .replace("/tmp/", &format!("{place}/"))
        .replace("/dev/std", &format!("{place}/std"))
        .replace("/etc/nginx/conf.d", conf.to_str().unwrap());
    std::fs::write(directory.join("nginx.conf"), main).unwrap();
    let secret = |name: &str| {
        // As the user that nginx runs as sees it.
        let copy = directory.join(name);
        std::fs::copy(world.path("secrets").join(name), &copy).unwrap();
        copy.display().to_string()
    };
    let variables = [
        ("HTTP_PORT", format!("127.0.0.1:{http}")),
        ("HTTPS_PORT", format!("127.0.0.1:{https}")),
        ("PUBLIC_PORT", format!(":{https}")),
        ("CERTIFICATE", secret("gateway.crt")),
        ("KEY", secret("gateway.key")),
        ("RESOLVER", "127.0.0.1".to_owned()),
        ("REPORTERS", reporters.to_owned()),
        ("PRODUCERS", producers.to_owned()),
        ("REAL_IP", String::new()),
    ];
    let mut site = text("deploy/nginx/templates/holdfast.conf.template");
    for (name, value) in variables {
        site = site.replace(&format!("${{GATEWAY_{name}}}"), &value);
    }
    let left = site.lines().find(|line| !line.trim_start().starts_with('#') && line.contains("${"));
    assert_eq!(left, None, "a variable was not filled in");
    std::fs::write(conf.join("holdfast.conf"), site).unwrap();
}

/// Starts nginx as a user without rights.
fn begin(world: &World, directory: &Path) -> Service {
    let conf = directory.join("nginx.conf").display().to_string();
    let nginx = [
        "/usr/sbin/nginx",
        "-c",
        &conf,
        "-e",
        &format!("{}/stderr", directory.display()),
        "-g",
        "daemon off;",
    ]
    .map(str::to_owned);
    let log = world.path("nginx.log");
    if !geteuid().is_root() {
        let command = ServiceCommand::new("nginx", log).args(&nginx[1..]);
        return Service::start_program(nginx[0].as_ref(), command).unwrap();
    }
    for path in [world.path(""), directory.to_owned()] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::os::unix::fs::chown(directory, Some(NOBODY.parse().unwrap()), Some(NOBODY.parse().unwrap()))
        .unwrap();
    let user = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs"];
    let command = ServiceCommand::new("nginx", log).args(user).args(nginx);
    Service::start_program("/usr/bin/setpriv".as_ref(), command).unwrap()
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn reads_go_to_the_reporter_and_changes_to_producers_and_one_that_is_gone_is_passed_over() {
    let world = world_with_jobs().await;
    let (gateway, mut behind) = Gateway::start(&world).await;
    let (client, token) = (gateway.client(2), token(&world, "erp", &["--role", "admin", "--machine"]).await);
    let get = async |path: &str| answer(client.get(gateway.url(path)).bearer_auth(&token)).await;
    let enqueue = async || {
        let task = json!({ "kind": "backup", "job": "docs" });
        answer(client.post(gateway.url("/api/v1/tasks")).bearer_auth(&token).json(&task)).await
    };

    let jobs = get("/api/v1/jobs?fields=name").await;
    assert_eq!((jobs.status, jobs.body["items"].as_array().unwrap().len()), (200, 3), "{jobs:?}");
    assert!(jobs.headers.contains_key("ratelimit-remaining"));
    let head = client.head(gateway.url("/api/v1/jobs")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(head.status(), 200);
    for _ in 0..6 {
        assert_eq!(enqueue().await.status, 201);
    }
    // A name with a slash in it stays one part of the path on its way.
    let odd = client
        .request(Method::PUT, gateway.url("/api/v1/limits/owner:o%2Fps"))
        .bearer_auth(&token)
        .json(&json!({}));
    let odd = answer(odd).await;
    assert_eq!(odd.problem(404).1, "owner:o/ps: no job has this owner");
    let old = client
        .request(Method::DELETE, gateway.url("/api/v1/jobs/docs"))
        .bearer_auth(&token)
        .header("if-match", "\"0\"");
    let old = answer(old).await;
    assert_eq!(old.status, 412, "{old:?}");
    assert!(old.headers.contains_key("etag"));

    let requests = gateway.requests();
    let asked = |method: &str, path: &str| -> std::collections::BTreeSet<String> {
        let of = requests.iter().filter(|request| request["method"] == method && request["path"] == path);
        of.map(|request| request["upstream"].as_str().unwrap().to_owned()).collect()
    };
    let reporter = format!("127.0.0.1:{}", gateway.reporter_port);
    assert_eq!(asked("GET", "/api/v1/jobs"), [reporter.clone()].into());
    let producers = asked("POST", "/api/v1/tasks");
    assert!(producers.len() == 2 && !producers.contains(&reporter), "{producers:?}");

    behind.producers[0].kill().await.unwrap();
    for _ in 0..6 {
        assert_eq!(enqueue().await.status, 201, "one producer is enough");
    }
    assert_eq!(world.number("select count(*) from task").await, 12, "no change was made twice");

    behind.producers[1].kill().await.unwrap();
    let nobody = enqueue().await;
    assert_eq!(
        nobody.problem(503).1,
        "no service answers: try again; a command, repeat it with the same Idempotency-Key or id"
    );
    assert_eq!(nobody.headers["retry-after"], "5");
    assert_eq!(get("/readyz").await.status, 503);
    assert_eq!(get("/api/v1/jobs").await.status, 200, "reads need no producer");
    assert_eq!(get("/healthz").await.status, 200, "the gateway itself lives");
    behind.reporter.kill().await.unwrap();
    assert_eq!(get("/api/v1/jobs").await.problem(503).0, Vec::<&str>::new());
}

#[tokio::test]
async fn nothing_but_the_interface_is_reached_and_too_much_is_refused_in_our_form() {
    let world = world_with_jobs().await;
    let (gateway, _behind) = Gateway::start(&world).await;
    let (client, token) = (gateway.client(2), token(&world, "erp", &["--role", "admin", "--machine"]).await);
    for path in [
        "/metrics",
        "/metrics/",
        "//metrics",
        "/api/v1/../../metrics",
        "/api/v1/%2e%2e/%2e%2e/metrics",
        "/.reporter",
        "/elsewhere",
    ] {
        // The client would tidy paths up itself.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let arguments = ["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", gateway.https)];
        let said = run("/usr/bin/openssl", &arguments, Path::new("/"), &[], &request).await;
        assert!(said.stdout.starts_with("HTTP/1.1 404 "), "{path}: {}", said.stdout);
        assert!(
            said.stdout.contains("application/problem+json") && !said.stdout.contains("# HELP"),
            "{path}: {}",
            said.stdout
        );
    }
    let body = format!("{{\"x\":\"{}\"}}", "x".repeat(3 << 19));
    let large = client
        .post(gateway.url("/api/v1/tasks"))
        .bearer_auth(&token)
        .header("content-type", "application/json")
        .body(body);
    assert_eq!(answer(large).await.problem(413).1, "the body has more than 1024 KiB");
    let long = answer(
        client.get(gateway.url(&format!("/api/v1/jobs?owner={}", "x".repeat(9_000)))).bearer_auth(&token),
    )
    .await;
    assert_eq!(long.status, 414);
    let plain = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let moved =
        plain.post(format!("http://localhost:{}/api/v1/tasks?x=1", gateway.http)).send().await.unwrap();
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()["location"]),
        (308, &gateway.url("/api/v1/tasks?x=1").parse().unwrap())
    );
    let page = client.get(gateway.url("/")).send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), page.headers()["location"].to_str().unwrap().ends_with("/api/v1/docs/")),
        (302, true)
    );
}

#[tokio::test]
async fn answers_are_compressed_once_and_what_has_not_changed_is_not_sent_again() {
    let world = world_with_jobs().await;
    let (gateway, _behind) = Gateway::start(&world).await;
    let (client, token) =
        (gateway.client(2), token(&world, "portal", &["--role", "viewer", "--machine"]).await);
    for path in ["/api/v1/jobs", "/api/v1/openapi.json"] {
        let request = client.get(gateway.url(path)).bearer_auth(&token).header("accept-encoding", "gzip");
        let response = request.send().await.unwrap();
        assert_eq!(values(response.headers(), "content-encoding"), ["gzip"], "{path}");
        let packed = world.write("answer.gz", response.bytes().await.unwrap());
        let unpacked =
            run("/usr/bin/gzip", &["-dc", packed.to_str().unwrap()], Path::new("/"), &[], "").await;
        assert!(
            unpacked.code == 0 && serde_json::from_str::<Value>(&unpacked.stdout).is_ok(),
            "{path}: {unpacked:?}"
        );
    }
    let get = |tag: Option<String>| {
        let request =
            client.get(gateway.url("/api/v1/jobs")).bearer_auth(&token).header("accept-encoding", "gzip");
        match tag {
            Some(tag) => request.header("if-none-match", tag),
            None => request,
        }
    };
    let first = get(None).send().await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let again = get(Some(tag.clone())).send().await.unwrap();
    assert_eq!((again.status().as_u16(), values(again.headers(), "etag")), (304, vec![tag]));
}

#[tokio::test]
async fn connections_to_the_services_are_kept_and_slow_clients_are_cut_off() {
    let world = world_with_jobs().await;
    let (gateway, _behind) = Gateway::start(&world).await;
    let (client, token) =
        (gateway.client(2), token(&world, "portal", &["--role", "viewer", "--machine"]).await);
    let slow = async {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.http)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
        let mut rest = Vec::new();
        // It says no more, and the gateway ends it.
        let read = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the gateway waits for ever");
    };
    let kept = async {
        for _ in 0..60 {
            let asked = client.get(gateway.url("/api/v1/jobs")).bearer_auth(&token).send().await.unwrap();
            assert_eq!(asked.status(), 200);
        }
        let connections = connections_to(gateway.reporter_port);
        assert!(connections <= 10, "{connections} connections were made for 60 requests");
    };
    tokio::join!(slow, kept);
}

/// Connections to a port of this machine, also those that ended a moment ago.
fn connections_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    table.lines().skip(1).filter(|line| line.split_whitespace().nth(2).unwrap().ends_with(&remote)).count()
}

#[tokio::test]
async fn clients_behind_the_gateway_are_told_apart_when_one_guesses_tokens() {
    let world = world_with_jobs().await;
    let (gateway, _behind) = Gateway::start(&world).await;
    let token = token(&world, "erp", &["--role", "operator", "--machine"]).await;
    let wrong = format!("{}{}", &token[..token.len() - 4], "AAAA");
    assert_ne!(wrong, token);
    let post = async |n: u8, token: &str, forwarded: Option<&str>| {
        let task = json!({ "kind": "backup", "job": "docs" });
        let request = gateway.client(n).post(gateway.url("/api/v1/tasks")).bearer_auth(token).json(&task);
        let request = match forwarded {
            Some(address) => request.header("x-forwarded-for", address),
            None => request,
        };
        answer(request).await.status
    };
    // Each of the two producers counts by itself, and asks which of them it is its turn.
    for _ in 0..30 {
        let status = post(2, &wrong, None).await;
        assert!(status == 401 || status == 429, "{status}");
    }
    assert_eq!(post(2, &token, None).await, 429, "who guessed is not heard");
    assert_eq!(post(2, &token, Some("127.0.0.9")).await, 429, "whatever it says of itself");
    assert_eq!(post(3, &token, None).await, 201, "and the others are");
}
