//! What receivers get: the documented example believes webhooks, chats get their own bodies, and an Alertmanager has the alerts.

use std::process::Stdio;

use harness::{Receiver, World, eventually};
use serde_json::{Value, json};
use shared::alert::{Severity, Transition};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{route, webhook, world_with};

/// A program in Python that says its port first, and then what it sees, a line each time.
pub(crate) struct Python {
    pub(crate) port: u16,
    pub(super) lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Python {
    pub(crate) async fn start(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(devstack::tools::PYTHON);
        command
            .arg(format!("{}/../{script}", env!("CARGO_MANIFEST_DIR")))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("the program says its port");
        let port = first.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{first}"));
        Self { port, lines, _child: child }
    }

    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(harness::DEADLINE, self.lines.next_line()).await;
        line.expect("waited in vain for a line").unwrap().expect("the program goes on")
    }
}

#[tokio::test]
async fn the_documented_receiver_believes_what_is_signed_and_recent_and_nothing_else() {
    let mut python =
        Python::start("docs/notifications/receive.py", &["0"], &[("HOOK_SECRET", "correct horse")]).await;
    let url = format!("http://127.0.0.1:{}/hook", python.port);
    let world = world_with(
        |world| json!({ "channels": [webhook(world, "hook", &url)], "routes": [route("all", &["hook"])] }),
    )
    .await;
    world.open_alert("docs", Severity::Critical, None).await;
    let (reporter, _) = world.start_reporter().await;
    assert_eq!(python.line().await, "critical: docs: the backup of docs failed");
    world.stop(reporter).await;

    // What is signed with another secret is refused, and so is what was recorded.
    world.write("password", "wrong horse\n");
    let run = world.run("reporter", ["notifications", "test", "--channel", "hook"]).await;
    assert!(run.code == 1 && run.stdout.contains("refused with 403"), "{run:?}");
    let client = reqwest::Client::new();
    for timestamp in ["1700000000", "", "now"] {
        let request = client.post(&url).header("Holdfast-Timestamp", timestamp).body("{}");
        assert_eq!(request.send().await.unwrap().status(), 403, "{timestamp:?}");
    }
}

#[tokio::test]
async fn chats_get_their_own_bodies_by_a_url_that_is_a_secret() {
    let receiver = Receiver::start().await;
    let world = World::new().await;
    world.hold_the_alerts().await;
    let chat = |name: &str| {
        let file = world.write(name, format!("{}/services/{name}-secret\n", receiver.url));
        json!({ "name": name, "kind": name, "url": { "file": file }, "allow_private": true })
    };
    let channels = [chat("slack"), chat("teams")];
    world.apply(&json!({ "channels": channels, "routes": [route("all", &["slack", "teams"])] })).await;
    receiver.answer_next("404 Not Found");
    receiver.answer_next("404 Not Found");
    world.open_alert("docs", Severity::Critical, None).await;
    let (reporter, _) = world.start_reporter().await;
    let given_up = "select count(*) from notification where state = 'given_up'";
    eventually("both are refused", async || (world.number(given_up).await == 2).then_some(())).await;
    world.open_alert("mail", Severity::Critical, None).await;
    let delivered = "select count(*) from notification where state = 'delivered'";
    eventually("both are told", async || (world.number(delivered).await == 2).then_some(())).await;
    let got = |name: &str| {
        let line = format!("POST /services/{name}-secret");
        receiver.received().into_iter().rfind(|received| received.line == line).unwrap().json()
    };
    assert_eq!(got("slack")["text"], "critical: mail: the backup of mail failed");
    let card = &got("teams")["attachments"][0]["content"];
    assert_eq!(card["body"][0]["inlines"][0]["text"], "critical: mail: the backup of mail failed");
    let stored = "select count(*) from (select last_error as said from notification union all select error from delivery
         union all select definition::text from channel) t where said like '%-secret%'";
    assert_eq!(world.number(stored).await, 0, "a secret is in the database");
    assert!(!reporter.log().contains("-secret"), "{}", reporter.log());
    world.stop(reporter).await;
}

/// A real Alertmanager.
struct Alertmanager {
    url: String,
    _child: Child,
}

impl Alertmanager {
    async fn start(world: &World) -> Self {
        let config =
            world.write("alertmanager.yml", "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n");
        // Another process may take the port before it is used.
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = Command::new("prometheus-alertmanager")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.path={}", world.path("alertmanager").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--cluster.listen-address=")
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("starting Alertmanager");
            let url = format!("http://127.0.0.1:{port}");
            let ready = eventually("Alertmanager answers, or ends", async || {
                if child.try_wait().unwrap().is_some() {
                    return Some(false);
                }
                let answer = reqwest::get(format!("{url}/-/ready")).await.ok()?;
                answer.status().is_success().then_some(true)
            })
            .await;
            if ready {
                return Self { url, _child: child };
            }
        }
        panic!("Alertmanager does not start")
    }

    async fn alerts(&self) -> Vec<Value> {
        let answer = reqwest::get(format!("{}/api/v2/alerts", self.url)).await.unwrap();
        answer.json().await.unwrap()
    }
}

#[tokio::test]
async fn an_alertmanager_has_what_is_open_and_loses_what_is_over() {
    let world = World::new().await;
    world.hold_the_alerts().await;
    let alertmanager = Alertmanager::start(&world).await;
    let channel =
        json!({ "name": "am", "kind": "alertmanager", "url": alertmanager.url, "allow_private": true });
    let job = world.simulated_job("docs", &["disk-a"], &json!({}));
    let targets = [world.target("disk-a", &json!({}))];
    let routes = [route("all", &["am"])];
    world.apply(&json!({ "targets": targets, "jobs": [job], "channels": [channel], "routes": routes })).await;
    let mut docs = world.open_alert("docs", Severity::Critical, Some("docs")).await;
    let mut mail = world.open_alert("mail", Severity::Warning, None).await;
    let (reporter, _) = world.start_reporter().await;
    let alerts = eventually("both are there", async || {
        let alerts = alertmanager.alerts().await;
        (alerts.len() == 2).then_some(alerts)
    })
    .await;
    let labels =
        alerts.iter().map(|alert| &alert["labels"]).find(|labels| labels["subject"] == "docs").unwrap();
    let expected = json!({ "alertname": "backup_failed", "service": "holdfast", "severity": "critical", "subject": "docs",
        "job_name": "docs", "owner": "ops" });
    assert_eq!(labels, &expected);

    world.move_alert(&mut docs, Transition::Resolved, None).await;
    world.move_alert(&mut mail, Transition::Resolved, None).await;
    eventually("nothing is left", async || alertmanager.alerts().await.is_empty().then_some(())).await;
    world.stop(reporter).await;

    // A reporter that begins posts what is open again, although nothing is in the outbox.
    world.open_alert("erp", Severity::Warning, None).await;
    let (reporter, _) = world.start_reporter().await;
    let delivered = "select count(*) from notification where state = 'waiting'";
    eventually("it is told", async || (alertmanager.alerts().await.len() == 1).then_some(())).await;
    eventually("nothing waits", async || (world.number(delivered).await == 0).then_some(())).await;
    world.stop(reporter).await;
    let before = alertmanager.alerts().await[0]["endsAt"].clone();
    let (reporter, _) = world.start_reporter().await;
    eventually("its end has moved", async || {
        (alertmanager.alerts().await[0]["endsAt"] != before).then_some(())
    })
    .await;
    world.stop(reporter).await;
}
