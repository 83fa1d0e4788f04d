//! E-mail, by a real server.

use harness::{World, eventually};
use serde_json::{Value, json};
use shared::alert::{Severity, Transition};

use super::channels::Python;
use super::{route, world_with};

const SERVER: &str = "tests/smtp/server.py";

fn channel(name: &str, port: u16, to: &[&str]) -> Value {
    json!({ "name": name, "kind": "email", "from": "holdfast@example.org", "to": to, "server": "localhost", "port": port,
        "tls": "none" })
}

async fn mail(server: &mut Python) -> Value {
    serde_json::from_str(&server.line().await).unwrap()
}

#[tokio::test]
async fn a_mail_arrives_whole_and_follow_ups_belong_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Python::start(SERVER, &[directory.path().to_str().unwrap()], &[]).await;
    let to = ["ops@example.org", "dba@example.org"];
    let world = world_with(|_| {
        let channel = channel("mail", server.port, &to);
        json!({ "channels": [channel], "routes": [route("all", &["mail"])] })
    })
    .await;
    let subject = "docs\r\nBcc: all@example.org\r\n\r\n<b>ä</b>";
    let mut alert = world.open_alert(subject, Severity::Critical, None).await;
    let (reporter, _) = world.start_reporter().await;
    let first = mail(&mut server).await;
    assert_eq!((&first["from"], &first["to"]), (&json!("holdfast@example.org"), &json!(to)));
    let headers = first["headers"].as_object().unwrap();
    assert!(!headers.contains_key("bcc"), "{headers:?}");
    let headline = headers["subject"].as_str().unwrap();
    assert!(headline.starts_with("[Holdfast] critical: docs  Bcc: all@example.org"), "{headline}");
    let id = world.text("select id::text from notification").await.unwrap();
    assert_eq!(headers["message-id"], format!("<{id}@example.org>"));
    assert!(first["parts"]["text/plain"].as_str().unwrap().contains("<b>ä</b>"), "{first}");
    assert!(first["parts"]["text/html"].as_str().unwrap().contains("&lt;b&gt;ä&lt;/b&gt;"), "{first}");

    world.move_alert(&mut alert, Transition::Resolved, None).await;
    let last = mail(&mut server).await;
    assert_eq!(last["headers"]["references"], headers["message-id"]);
    assert_eq!(last["headers"]["in-reply-to"], headers["message-id"]);
    world.stop(reporter).await;
}

#[tokio::test]
async fn mail_goes_by_tls_with_a_login_and_only_to_whom_the_system_trusts() {
    for tls in ["starttls", "tls"] {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Python::start(SERVER, &[directory.path().to_str().unwrap(), tls], &[]).await;
        let world = World::new().await;
        let mut channel = channel("mail", server.port, &["ops@example.org"]);
        channel["tls"] = json!(tls);
        channel["login"] = json!({ "user": "holdfast", "password": { "file": world.path("password") } });
        world.apply(&json!({ "channels": [channel] })).await;
        let test = ["notifications", "test", "--channel", "mail"];
        let run = world.run("reporter", test).await;
        assert!(run.code == 1 && run.stdout.contains("failed"), "{tls} without trust: {run:?}");
        let authority = directory.path().join("ca.pem").display().to_string();
        let trusting = [("SSL_CERT_FILE", authority.as_str())];
        let run = world.run_with("reporter", test, &trusting).await;
        assert!(run.code == 0 && run.stdout.contains("delivered with 250"), "{tls}: {run:?}");
        let mail = mail(&mut server).await;
        assert_eq!(mail["tls"], tls == "starttls");
        world.write("password", "wrong horse\n");
        let run = world.run_with("reporter", test, &trusting).await;
        assert!(
            run.code == 1 && run.stdout.contains("failed with 535"),
            "{tls} with a wrong password: {run:?}"
        );
        assert!(!run.stdout.contains("horse"), "{run:?}");
    }
}

#[tokio::test]
async fn who_does_not_exist_is_given_up_and_who_is_busy_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Python::start(SERVER, &[directory.path().to_str().unwrap()], &[]).await;
    let world = world_with(|_| {
        let channels =
            ["nobody", "busy"].map(|name| channel(name, server.port, &[&format!("{name}@example.org")]));
        json!({ "channels": channels, "routes": [route("all", &["nobody", "busy"])] })
    })
    .await;
    world.open_alert("docs", Severity::Warning, None).await;
    let (reporter, _) = world.start_reporter().await;
    let states = "select string_agg(n.channel || ' ' || n.state || ' ' || d.status, ', ' order by n.channel)
         from notification n join delivery d on d.notification_id = n.id where d.outcome is not null";
    eventually("both attempts have ended", async || {
        (world.text(states).await? == "busy waiting 451, nobody given_up 550").then_some(())
    })
    .await;
    world.stop(reporter).await;
}
