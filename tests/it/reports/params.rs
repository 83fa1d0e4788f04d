//! What is wrong with the parameters of a report is said where it is asked for, with the name of the field.

use harness::World;
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_field_and_nothing_is_enqueued() {
    let world = super::world_with(&["docs"]).await;
    let channels = json!([{ "name": "chat", "kind": "slack", "url": { "env": "CHAT" } }]);
    world.apply(&json!({ "channels": channels })).await;
    for (params, said) in [
        (&["report=yearly"][..], "params: report: "),
        (&["report=weekly", "week=2026-W60"], "params: week: is no ISO week"),
        (&["report=weekly", "day=2026-11-23"], "params: day: does not fit a weekly report"),
        (&["report=monthly", "month=2026-13"], "params: month: is no month"),
        (&["report=audit", "from=2026-11-02", "to=2026-11-01"], "params: to: is before from"),
        (&["report=audit", "from=2024-11-02", "to=2026-11-01"], "params: to: lies more than 366 days"),
        (&["day=2026-02-30"], "params: day: is no date"),
        (&["day=2999-01-01"], "params: day: begins on 2999-01-01, which is not yet"),
        (&["day=2026-02-03", "period=current"], "params: period: is one too many"),
        (&["job=nobody"], "job: no job is named \"nobody\""),
        (&["owner=nobody"], "owner: no job has the owner \"nobody\""),
        (&["mail_to=nowhere"], "mail_to: no channel is named \"nowhere\""),
        (&["mail_to=chat"], "mail_to: chat is of the kind slack, reports go by email"),
        (&["mail_to=ops@example.org"], "params: mail_to: "),
    ] {
        let params = params.iter().flat_map(|param| ["--param", param]);
        let arguments: Vec<&str> = ["enqueue", "report"].into_iter().chain(params).collect();
        let run = world.producer(&arguments).await;
        assert!(run.code != 0 && run.stderr.contains(said), "{said}: {run:?}");
    }
    assert_eq!(world.number("select count(*) from task").await, 0);
}

#[tokio::test]
async fn a_message_with_a_wrong_period_is_a_dead_letter_that_names_it() {
    let world = World::new().await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let message = json!({ "version": 1, "id": Uuid::now_v7(), "kind": "report", "params": { "report": "weekly", "week": "soon" } });
    world.broker.publish("report", &[message.to_string().into()]).await;
    let letters = world.broker.dead_letters(1).await;
    assert!(letters[0].detail().contains("week: is no ISO week"), "{letters:?}");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn definitions_of_reports_name_jobs_and_mail_channels_that_are_there() {
    let world = super::world_with(&["docs"]).await;
    let mail =
        json!({ "name": "mail", "kind": "email", "from": "a@b", "to": ["a@b"], "server": "localhost" });
    let chat = json!({ "name": "chat", "kind": "slack", "url": { "env": "CHAT" } });
    let report = json!({ "name": "weekly", "report": "weekly", "period": "previous", "owner": "ops", "mail_to": ["mail"],
        "schedule": { "cron": "0 6 * * 1" } });
    world.apply(&json!({ "channels": [mail, chat], "reports": [report] })).await;
    let params = world.text("select params::text from schedule where kind = 'report'").await.unwrap();
    assert_eq!(params, r#"{"mail_to":["mail"],"owner":"ops","period":"previous","report":"weekly"}"#);
    let refused = async |field: &str, value: serde_json::Value, said: &str| {
        let mut report = report.clone();
        report[field] = value;
        let file = world.write("wrong.yaml", json!({ "reports": [report] }).to_string());
        let run = world.producer(&["apply", file.to_str().unwrap()]).await;
        assert!(run.code != 0 && (run.stderr.clone() + &run.stdout).contains(said), "{said}: {run:?}");
    };
    refused("mail_to", json!(["chat"]), "reports.weekly.mail_to: chat is of the kind slack").await;
    refused("mail_to", json!(["nowhere"]), "no channel is named \"nowhere\"").await;
    refused("job", json!("nobody"), "no job is named \"nobody\"").await;
    refused("period", json!("next"), "reports.weekly.period").await;
    let exported = world.producer(&["export"]).await;
    assert!(exported.stdout.contains("mail_to"), "{exported:?}");
    // What a report needs cannot be taken away under it.
    let file = world.write("without.yaml", json!({ "reports": [report] }).to_string());
    let run = world.producer(&["apply", "--prune", file.to_str().unwrap()]).await;
    assert!(
        (run.stderr.clone() + &run.stdout).contains("cannot be removed while reports go there: weekly"),
        "{run:?}"
    );
}
