//! The life of an alert, and what people do with it.

use harness::metrics;
use reqwest::Method;

use super::*;
use crate::http::Client;

/// A backup of `docs` failed.
async fn failed(rules: &Value) -> Watched {
    let watched = Watched::new(rules).await;
    define(&watched.world, &json!({ "failure_rate": 1.0 }), rules).await;
    back_up(&watched.world, "docs").await;
    watched
}

async fn id(world: &World, cause: &str) -> String {
    world.text(&format!("select id::text from alert where cause = '{cause}'")).await.unwrap()
}

async fn alerts(world: &World, arguments: &[&str]) -> harness::Run {
    world.producer(&[&["alerts"], arguments].concat()).await
}

const CAUSE: &str = "backup_failed/docs";

#[tokio::test]
async fn what_is_wrong_waits_for_its_time_before_it_opens() {
    let rules = json!({ "backup_failed": { "for": "1h", "severity": "critical" } });
    let watched = failed(&rules).await;
    let world = &watched.world;
    until(world, CAUSE, "pending").await;
    assert_eq!(history(world, CAUSE).await, [""; 0]);
    world.execute("update alert set since = since - interval '1 hour' where state = 'pending'").await;
    until(world, CAUSE, "open").await;
    let listed = world.run("reporter", ["alerts", "list", "--json", "--job", "docs"]).await;
    assert_eq!(listed.code, 1, "something critical is open: {listed:?}");
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let alert = &listed["alerts"][0];
    assert_eq!((&alert["severity"], &alert["state"]), (&json!("critical"), &json!("open")));
    assert_eq!((&alert["owner"], &alert["group_key"]), (&json!("ops"), &json!("backup_failed/owner:ops")));
    watched.stop().await;
}

#[tokio::test]
async fn somebody_says_that_they_know_and_until_when_and_each_time_it_is_written_down() {
    let rules = json!({ "backup_failed": { "severity": "critical" } });
    let watched = failed(&rules).await;
    let world = &watched.world;
    until(world, CAUSE, "open").await;
    let id = id(world, CAUSE).await;
    let run = alerts(world, &["ack", &id, "--note", "the disk is on its way", "--until", "4h"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let listed = world.run("reporter", ["alerts", "list"]).await;
    assert_eq!(listed.code, 0, "somebody knows: {listed:?}");
    assert!(listed.stdout.contains("knows"), "{listed:?}");
    // Its time is over.
    world.execute("update alert set acknowledged_until = now() where acknowledged_at is not null").await;
    let forgotten = async || history(world, CAUSE).await == ["opened", "acknowledged", "unacknowledged"];
    eventually("nobody knows any more", async || forgotten().await.then_some(())).await;
    assert_eq!(alerts(world, &["ack", &id]).await.code, 0);
    assert_eq!(alerts(world, &["unack", &id]).await.code, 0);
    acknowledge_while_an_older_word_is_forgotten(world, &id).await;
    assert_eq!(alerts(world, &["ack", &id, "--note", "\u{1b}[31mred\nline"]).await.code, 0);
    let shown = world.run("reporter", ["alerts", "show", &id]).await.stdout;
    assert!(shown.contains(" [31mred line") && !shown.contains('\u{1b}'), "{shown:?}");
    assert_eq!(alerts(world, &["unack", &id]).await.code, 0);
    let again = alerts(world, &["unack", &id]).await;
    assert!(again.code == 2 && again.stderr.contains("is not acknowledged"), "{again:?}");
    for (arguments, said) in [
        (&["ack", "999999"][..], "no alert has the number 999999"),
        (&["ack", &id, "--note", " "], "note: is empty"),
        (&["ack", &id, "--until", "400d"], "until: is not from a second to a year"),
    ] {
        let run = alerts(world, arguments).await;
        assert!(run.code != 0 && run.stderr.contains(said), "{run:?}");
    }
    let shown = world.run("reporter", ["alerts", "show", &id, "--json"]).await.json();
    assert_eq!(shown["events"][1]["note"], "the disk is on its way");
    let audited = "select count(*) from audit where subject = 'alert' and name = 'backup_failed/docs'";
    assert_eq!(world.number(audited).await, 8);

    define(world, &json!({}), &rules).await;
    back_up(world, "docs").await;
    until(world, CAUSE, "resolved").await;
    let over = alerts(world, &["ack", &id]).await;
    assert!(over.code == 2 && over.stderr.contains("is over"), "{over:?}");
    watched.stop().await;
}

#[tokio::test]
async fn what_is_silenced_is_followed_and_told_again_when_the_silence_is_over() {
    let watched = failed(&json!({ "backup_failed": { "severity": "critical" } })).await;
    let world = &watched.world;
    until(world, CAUSE, "open").await;
    let silence =
        ["silence", "--target", "disk-a", "--rule", "backup_failed", "--for", "4h", "--why", "moved"];
    let run = alerts(world, &silence).await;
    assert_eq!(run.code, 0, "{run:?}");
    let silences = alerts(world, &["silences", "--json"]).await.json();
    assert_eq!((&silences[0]["target"], &silences[0]["why"]), (&json!("disk-a"), &json!("moved")));
    let number = silences[0]["id"].to_string();
    let suppressed = format!("suppressed silence:{number}");
    let told = async |expected: &[&str]| history(world, CAUSE).await == expected;
    eventually("it is silent", async || told(&["opened", &suppressed]).await.then_some(())).await;
    assert_eq!(world.run("reporter", ["alerts", "list"]).await.code, 0, "nobody wants to be told");
    assert_eq!(alerts(world, &["unsilence", &number]).await.code, 0);
    eventually("it is told again", async || told(&["opened", &suppressed, "released"]).await.then_some(()))
        .await;
    assert_eq!(world.run("reporter", ["alerts", "list"]).await.code, 1);
    for (arguments, said) in [
        (&["silence", "--for", "4h", "--why", "x"][..], "give at least one of"),
        (&["silence", "--job", "docs", "--for", "4h", "--why", ""], "why: is empty"),
        (&["silence", "--job", "dosc", "--for", "4h", "--why", "x"], "job: no job is called dosc"),
        (&["silence", "--target", "disk", "--for", "4h", "--why", "x"], "target: no target is called disk"),
        (&["silence", "--owner", "me", "--for", "4h", "--why", "x"], "owner: no owner is called me"),
        (&["silence", "--tag", "web", "--for", "4h", "--why", "x"], "tag: no tag is called web"),
        (&["silence", "--job", "docs", "--for", "500d", "--why", "x"], "for: is not from a second to a year"),
        (&["silence", "--rule", "mood", "--for", "4h", "--why", "x"], "mood"),
        (&["unsilence", &number], "is over"),
    ] {
        let run = alerts(world, arguments).await;
        assert!(run.code != 0 && run.stderr.contains(said), "{run:?}");
    }
    watched.stop().await;
}

#[tokio::test]
async fn in_a_maintenance_window_nobody_is_told_about_what_it_matches() {
    let world = World::new().await;
    let window = |name: &str, matches: Value| json!({ "name": name, "cron": "* * * * *", "for": "2m", "matches": matches });
    let mut docs = job(&world, "docs", &json!({ "failure_rate": 1.0 }));
    docs["tags"] = json!(["web"]);
    let mail = job(&world, "mail", &json!({ "failure_rate": 1.0 }));
    let definitions = json!({
        "targets": [world.target("disk-a", &json!({}))],
        "jobs": [docs, mail],
        "maintenance": [window("web", json!([{ "tag": "web" }])), window("erp", json!([{ "owner": "dba" }]))],
    });
    world.apply(&definitions).await;
    let watched = Watched::over(world).await;
    let world = &watched.world;
    back_up(world, "docs").await;
    until(world, CAUSE, "open").await;
    back_up(world, "mail").await;
    until(world, "backup_failed/mail", "open").await;
    assert_eq!(history(world, CAUSE).await, ["opened maintenance:web"]);
    assert_eq!(history(world, "backup_failed/mail").await, ["opened"]);
    watched.stop().await;
}

#[tokio::test]
async fn alerts_are_acknowledged_and_silenced_over_http_by_whoever_may() {
    let watched = failed(&json!({})).await;
    let world = &watched.world;
    until(world, CAUSE, "open").await;
    let id = id(world, CAUSE).await;
    let client = Client::new(world, "operator").await;
    let post = async |path: &str, body: &Value| client.send(Method::POST, path, Some(body)).await;
    let known = json!({ "note": "looking", "seconds": 3600 });
    assert_eq!(post(&format!("alerts/{id}/acknowledge"), &known).await.status, 204);
    let by = "select acknowledged_by from alert where acknowledged_until > now() + interval '59 minutes'";
    assert_eq!(world.text(by).await.as_deref(), Some("erp"));
    assert_eq!(client.send(Method::POST, &format!("alerts/{id}/unacknowledge"), None).await.status, 204);
    assert_eq!(client.send(Method::POST, &format!("alerts/{id}/unacknowledge"), None).await.status, 409);
    assert_eq!(post("alerts/999999/acknowledge", &json!({})).await.status, 404);
    let silence = json!({ "job": "docs", "seconds": 3600, "why": "moved" });
    let silenced = post("silences", &silence).await;
    assert_eq!(silenced.status, 201, "{silenced:?}");
    let nothing = post("silences", &json!({ "seconds": 3600, "why": "moved" })).await;
    assert_eq!(nothing.status, 422, "{nothing:?}");
    let path = format!("silences/{}", silenced.body["id"]);
    assert_eq!(client.send(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(client.send(Method::DELETE, &path, None).await.status, 404);
    let audited = "select count(*) from audit where actor = 'erp' and token_id is not null and subject in ('alert', 'silence')";
    assert_eq!(world.number(audited).await, 4);
    watched.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_measured() {
    let watched = failed(&json!({})).await;
    let world = &watched.world;
    until(world, CAUSE, "open").await;
    let measured = eventually("the alert is measured", async || {
        let metrics = metrics(&watched.url).await;
        let open = r#"holdfast_alerts{rule="backup_failed",severity="warning",state="open"}"#;
        (metrics.get(open) == Some(&1.0)).then_some(metrics)
    })
    .await;
    let value =
        |name: &str| *measured.get(name).unwrap_or_else(|| panic!("{name} is not among {measured:#?}"));
    let near = |name: &str, expected: f64| assert!((value(name) - expected).abs() < 1e-9, "{name}");
    near(r#"holdfast_alerts{rule="backup_failed",severity="critical",state="open"}"#, 0.0);
    near(r#"holdfast_alerts_suppressed{rule="backup_failed"}"#, 0.0);
    near(r#"holdfast_alert_transitions_total{rule="backup_failed",transition="opened"}"#, 1.0);
    assert!((0.0..10.0).contains(&value("holdfast_alert_evaluation_age_seconds")));
    assert!((0.0..10.0).contains(&value("holdfast_alert_evaluation_seconds")));
    watched.stop().await;
}

#[tokio::test]
async fn a_worker_removes_what_has_been_over_for_90_days_once_a_day() {
    let world = World::new().await;
    define(&world, &json!({}), &json!({})).await;
    let resolved = |days: u32, number: u32| {
        format!(
            "insert into alert (cause, rule, severity, state, subject, group_key, summary, since, opened_at, resolved_at)
             select 'dead_tasks/' || n, 'dead_tasks', 'info', 'resolved', 'x', 'x', 'x', now(), now(), \
                 now() - interval '{days} days' from generate_series(1, {number}) n;"
        )
    };
    world.execute(&(resolved(91, 2_500) + &resolved(89, 3))).await;
    world
        .execute(
            "insert into alert_event (alert_id, transition, severity, summary) select id, 'resolved', 'info', 'x' from alert;
             insert into job_day (job_id, day, good) select id, current_date - n, 1 from job, generate_series(0, 40) n",
        )
        .await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let done = "select count(*) from execution where kind = 'maintain' and outcome = 'success'";
    eventually("it is removed", async || (world.number(done).await == 1).then_some(())).await;
    assert_eq!(world.number("select count(*) from alert").await, 3);
    assert_eq!(world.number("select count(*) from alert_event").await, 3);
    assert_eq!(world.number("select count(*) from job_day").await, 32);
    let removed = "select detail ->> 'alerts' from execution where kind = 'maintain'";
    assert_eq!(world.text(removed).await.as_deref(), Some("2500"));
    // Whoever starts again on the same day has nothing more done.
    world.execute(&resolved(91, 1)).await;
    world.stop(producer).await;
    let again = world.start("producer", "again", &[]);
    let duty = "enqueueing what workers maintain";
    eventually("the upkeep is through", async || again.log().contains(duty).then_some(())).await;
    assert_eq!(world.number("select count(*) from known_id").await, 1);
    assert_eq!(world.number("select count(*) from alert").await, 4);
    world.stop(again).await;
    world.stop(worker).await;
}

/// Whoever forgets what was said before something else was said forgets nothing.
async fn acknowledge_while_an_older_word_is_forgotten(world: &World, id: &str) {
    assert_eq!(alerts(world, &["ack", id, "--note", "first"]).await.code, 0);
    let mut client = world.database.client().await.unwrap();
    let alert = shared::alert::AlertId(id.parse().unwrap());
    let read = shared::db::alert::by_id(&client, alert).await.unwrap().unwrap();
    let first = read.life.acknowledged.unwrap().at;
    assert_eq!(alerts(world, &["ack", id, "--note", "second"]).await.code, 0);
    let transaction = client.transaction().await.unwrap();
    let forgotten = shared::db::alert::unacknowledge(&transaction, &[(alert, first)]).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(forgotten.is_empty(), "{forgotten:?}");
    assert_eq!(
        world.text("select acknowledged_note from alert where acknowledged_at is not null").await.as_deref(),
        Some("second")
    );
    assert_eq!(alerts(world, &["unack", id]).await.code, 0);
}
