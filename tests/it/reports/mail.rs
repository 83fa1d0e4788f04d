//! Reports that are sent, by a real server.

use harness::{World, eventually};
use serde_json::{Value, json};

use super::make;
use crate::notifications::channels::Python;

const SERVER: &str = "tests/smtp/server.py";

fn channel(name: &str, port: u16, to: &str) -> Value {
    json!({ "name": name, "kind": "email", "from": "holdfast@example.org", "to": [to], "server": "localhost", "port": port,
        "tls": "none" })
}

#[tokio::test]
async fn a_report_arrives_with_what_matters_as_text_and_files_whose_hashes_are_those_that_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Python::start(SERVER, &[directory.path().to_str().unwrap()], &[]).await;
    let world = super::world_with(&["docs"]).await;
    let channels = [
        channel("boss", server.port, "boss@example.org"),
        channel("busy", server.port, "busy@example.org"),
        channel("nobody", server.port, "nobody@example.org"),
    ];
    world.apply(&json!({ "channels": channels })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let id = make(&world, &["report=weekly", "period=current", "mail_to=boss, busy, nobody"]).await;
    let (reporter, _) = world.start_reporter().await;
    let mail: Value = serde_json::from_str(&server.line().await).unwrap();
    assert_eq!(mail["to"], json!(["boss@example.org"]));
    let subject = mail["headers"]["subject"].as_str().unwrap();
    assert!(subject.starts_with("[Holdfast] Backups, week "), "{subject}");
    let text = mail["parts"]["text/plain"].as_str().unwrap();
    assert!(
        text.contains("The job does not follow the 3-2-1-1-0 rule") && text.contains("What needs attention:"),
        "{text}"
    );
    assert!(text.contains(&format!("reporter report save {id} --format pdf")), "{text}");
    let stored = async |format: &str| {
        world
            .text(&format!("select sha256 from report_file where report_id = '{id}' and format = '{format}'"))
            .await
    };
    let sent = mail["attachments"].as_array().unwrap();
    let sent: Vec<_> =
        sent.iter().map(|file| (file["type"].as_str().unwrap(), file["sha256"].as_str().unwrap())).collect();
    let (pdf, html) = (stored("pdf").await.unwrap(), stored("html").await.unwrap());
    assert_eq!(sent, [("application/pdf", pdf.as_str()), ("text/html", html.as_str())]);
    let states = "select string_agg(channel || ' ' || state, ', ' order by channel) from notification n
         where exists (select from delivery d where d.notification_id = n.id and d.outcome is not null)";
    eventually("all were tried", async || {
        (world.text(states).await? == "boss delivered, busy waiting, nobody given_up").then_some(())
    })
    .await;
    let listed = world.run("reporter", ["notifications", "list"]).await;
    assert!(listed.stdout.contains("report: Backups, week"), "{listed:?}");
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_is_too_large_for_a_mail_stays_behind_and_the_mail_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Python::start(SERVER, &[directory.path().to_str().unwrap()], &[]).await;
    let world = World::new().await;
    world.apply(&json!({ "channels": [channel("boss", server.port, "boss@example.org")] })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    make(&world, &["mail_to=boss"]).await;
    world
        .execute("update report_file set content = decode(repeat('00', 7000000), 'hex') where format = 'pdf'")
        .await;
    let (reporter, _) = world.start_reporter().await;
    let mail: Value = serde_json::from_str(&server.line().await).unwrap();
    let sent = mail["attachments"].as_array().unwrap();
    assert_eq!((sent.len(), &sent[0]["type"]), (1, &json!("text/html")));
    assert!(
        mail["parts"]["text/plain"].as_str().unwrap().contains("Not all of it fits into a mail."),
        "{mail}"
    );
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_channel_that_is_gone_or_of_another_kind_by_then_is_given_up() {
    let world = World::new().await;
    world.apply(&json!({ "channels": [channel("boss", 1, "boss@example.org"), channel("gone", 1, "a@example.org")] })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    make(&world, &["mail_to=boss,gone"]).await;
    world
        .execute(
            "delete from channel where name = 'gone';
             update channel set definition = '{\"name\": \"boss\", \"kind\": \"slack\", \"url\": {\"env\": \"CHAT\"}, \"allow_private\": false}' where name = 'boss'",
        )
        .await;
    let (reporter, _) = world.start_reporter().await;
    let errors =
        "select string_agg(last_error, ', ' order by channel) from notification where state = 'given_up'";
    eventually("both are given up", async || {
        let errors = world.text(errors).await?;
        (errors == "reports go by e-mail only, no channel has this name any more").then_some(())
    })
    .await;
    world.stop(reporter).await;
    world.stop(worker).await;
    world.stop(producer).await;
}
