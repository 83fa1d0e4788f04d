//! Who is told of alerts: routes, groups, attempts, and each transition once by each channel.

pub(crate) mod channels;
mod email;
mod heartbeat;

use std::collections::BTreeSet;

use harness::{Received, Receiver, World, eventually};
use serde_json::{Value, json};
use shared::alert::{Severity, SilenceId, SuppressedBy, Transition};

/// A webhook to a receiver on this machine, whose secret is the world's password.
fn webhook(world: &World, name: &str, url: &str) -> Value {
    json!({ "name": name, "kind": "webhook", "url": url, "secret": { "file": world.path("password") },
        "allow_private": true })
}

/// A route that waits for nothing.
fn route(name: &str, channels: &[&str]) -> Value {
    json!({ "name": name, "channels": channels, "group_wait": "0s" })
}

/// A world in which alerts are what the test says, with definitions.
async fn world_with(definitions: impl FnOnce(&World) -> Value) -> World {
    let world = World::new().await;
    world.hold_the_alerts().await;
    world.apply(&definitions(&world)).await;
    world
}

/// The transitions that came to a path, as `subject transition`, in their order.
fn told(receiver: &Receiver, path: &str) -> Vec<String> {
    let line = format!("POST {path}");
    let requests = receiver.received().into_iter().filter(|received| received.line == line);
    requests.flat_map(|received| events(&received)).map(|event| said(&event)).collect()
}

fn events(received: &Received) -> Vec<Value> {
    received.json()["events"].as_array().unwrap().clone()
}

fn said(event: &Value) -> String {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    format!("{} {}", text("/alert/subject"), text("/transition"))
}

async fn eventually_told(receiver: &Receiver, path: &str, expected: &[&str]) {
    eventually(&format!("{expected:?} is told"), async || {
        (told(receiver, path).len() >= expected.len()).then_some(())
    })
    .await;
    assert_eq!(told(receiver, path), expected);
}

/// Waits until what was delivered is noted.
async fn noted(world: &World) {
    let waiting = "select count(*) from notification where state = 'waiting'";
    eventually("nothing waits", async || (world.number(waiting).await == 0).then_some(())).await;
}

#[tokio::test]
async fn alerts_of_a_group_are_one_notification_and_whoever_was_told_is_told_of_their_end() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let mut all = route("all", &["hook"]);
        all["group_wait"] = json!("1s");
        json!({ "channels": [webhook(world, "hook", &receiver.url)], "routes": [all] })
    })
    .await;
    let mut alerts = Vec::new();
    for subject in ["docs", "mail", "erp"] {
        alerts.push(world.open_alert(subject, Severity::Critical, None).await);
    }
    let (reporter, _) = world.start_reporter().await;
    eventually_told(&receiver, "/", &["docs opened", "mail opened", "erp opened"]).await;
    assert_eq!(receiver.received().len(), 1, "one group is one notification");

    let first = receiver.received().remove(0);
    world.move_alert(&mut alerts[1], Transition::Resolved, None).await;
    eventually("the end is told", async || (receiver.received().len() == 2).then_some(())).await;
    let last = receiver.received().remove(1);
    let ended = &events(&last)[0];
    assert_eq!(said(ended), "mail resolved");
    assert_eq!(ended["follows"], first.json()["id"]);
    assert!(ended["alert"]["resolved_at"].is_string(), "{ended}");
    assert_eq!(last.json()["headline"], "resolved: mail: the backup of mail failed");
    world.stop(reporter).await;
}

#[tokio::test]
async fn routes_go_by_severity_owner_and_tags() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let hook = |name: &str| webhook(world, name, &format!("{}/{name}", receiver.url));
        let mut job = world.simulated_job("docs", &["disk-a"], &json!({}));
        job["tags"] = json!(["prod", "eu"]);
        let mut other = world.simulated_job("mail", &["disk-a"], &json!({}));
        other["owner"] = json!("dba");
        let with = |name: &str, field: &str, value: Value| {
            let mut route = route(name, &[name]);
            route[field] = value;
            route
        };
        json!({
            "targets": [world.target("disk-a", &json!({}))],
            "jobs": [job, other],
            "channels": [hook("all"), hook("bad"), hook("dba"), hook("eu"), hook("rule")],
            "routes": [with("all", "resolved", json!(false)), with("bad", "severity", json!("critical")),
                with("dba", "owners", json!(["dba"])), with("eu", "tags", json!(["eu"])),
                with("rule", "rules", json!(["worker_lost"]))],
        })
    })
    .await;
    let mut docs = world.open_alert("docs", Severity::Warning, Some("docs")).await;
    world.open_alert("mail", Severity::Critical, Some("mail")).await;
    world.move_alert(&mut docs, Transition::Resolved, None).await;
    let (reporter, _) = world.start_reporter().await;
    eventually_told(&receiver, "/all", &["docs opened", "mail opened"]).await;
    eventually_told(&receiver, "/bad", &["mail opened"]).await;
    eventually_told(&receiver, "/dba", &["mail opened"]).await;
    eventually_told(&receiver, "/eu", &["docs opened", "docs resolved"]).await;
    assert_eq!(told(&receiver, "/rule"), Vec::<String>::new());
    let unrouted = world.number("select count(*) from alert_event where routed_at is null").await;
    assert_eq!(unrouted, 0, "each transition was routed");
    world.stop(reporter).await;
}

#[tokio::test]
async fn what_is_silenced_is_told_when_the_silence_ends_and_is_told_again_where_a_route_says_so() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let mut all = route("all", &["hook"]);
        all["repeat"] = json!("1h");
        json!({ "channels": [webhook(world, "hook", &receiver.url)], "routes": [all] })
    })
    .await;
    let (reporter, _) = world.start_reporter().await;
    let silence = || Some(SuppressedBy::Silence(SilenceId(1)));
    let mut docs = world.open_alert("docs", Severity::Warning, None).await;
    eventually_told(&receiver, "/", &["docs opened"]).await;
    world.move_alert(&mut docs, Transition::Suppressed, silence()).await;
    let mut mail = world.open_alert("mail", Severity::Warning, None).await;
    eventually_told(&receiver, "/", &["docs opened", "mail opened"]).await;
    world.move_alert(&mut docs, Transition::Released, None).await;
    world.move_alert(&mut mail, Transition::Resolved, None).await;
    eventually_told(&receiver, "/", &["docs opened", "mail opened", "mail resolved"]).await;

    noted(&world).await;
    world.execute("update notification set ended_at = ended_at - interval '61 minutes'").await;
    eventually("it is told again", async || told(&receiver, "/").get(3).cloned()).await;
    assert_eq!(told(&receiver, "/")[3], "docs repeated");
    let twice = "select count(*) from (select from notification_event where repetition = 0
         group by channel, event_id having count(*) > 1) t";
    assert_eq!(world.number(twice).await, 0);
    world.stop(reporter).await;
}

#[tokio::test]
async fn what_still_waits_to_be_told_again_is_not_told_once_more() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let mut all = route("all", &["hook"]);
        all["repeat"] = json!("1m");
        json!({ "channels": [webhook(world, "hook", &receiver.url)], "routes": [all] })
    })
    .await;
    let settings = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_LOG", "info,reporter=debug")];
    let reporter = world.start("reporter", "reporter", &settings);
    world.open_alert("docs", Severity::Warning, None).await;
    eventually_told(&receiver, "/", &["docs opened"]).await;
    let first = receiver.received().remove(0).json()["id"].clone();
    receiver.answer_next("503 Busy\r\nRetry-After: 3000");
    noted(&world).await;
    world.execute("update notification set ended_at = ended_at - interval '2 minutes'").await;
    let failed = "select count(*) from notification where state = 'waiting' and attempts = 1 and last_error is not null";
    eventually("the attempt has failed", async || (world.number(failed).await == 1).then_some(())).await;
    // However long that lasts.
    world.execute("update notification set created_at = created_at - interval '1 hour', ended_at = ended_at - interval '1 hour'").await;
    let looks = reporter.log().matches("looked for what is to be told again").count();
    eventually("it is looked again", async || {
        (reporter.log().matches("looked for what is to be told again").count() > looks).then_some(())
    })
    .await;
    assert_eq!(world.number("select count(*) from notification_event").await, 2);
    world.execute("update notification set next_at = now() where state = 'waiting'").await;
    eventually_told(&receiver, "/", &["docs opened", "docs repeated", "docs repeated"]).await;
    assert_eq!(receiver.received()[2].json()["events"][0]["follows"], first);
    world.stop(reporter).await;
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_with_the_same_id_and_one_that_refuses_is_not() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let hooks = ["a", "b"].map(|name| webhook(world, name, &format!("{}/{name}", receiver.url)));
        json!({ "channels": hooks, "routes": [route("all", &["a"])] })
    })
    .await;
    receiver.answer_next("503 Busy\r\nRetry-After: 200");
    world.open_alert("docs", Severity::Warning, None).await;
    let (reporter, _) = world.start_reporter().await;
    let again = "select count(*) from notification where state = 'waiting' and attempts = 1 and last_error is not null
         and next_at between now() + interval '150 seconds' and now() + interval '201 seconds'";
    eventually("the attempt has failed", async || (world.number(again).await == 1).then_some(())).await;
    // What comes meanwhile waits behind it, so that what was told last is true.
    world.open_alert("mail", Severity::Warning, None).await;
    let waiting = "select count(*) from notification where state = 'waiting'";
    eventually("there is another one", async || (world.number(waiting).await == 2).then_some(())).await;
    world.execute("update notification set next_at = now() where attempts = 1").await;
    eventually_told(&receiver, "/a", &["docs opened", "docs opened", "mail opened"]).await;
    let requests = receiver.received();
    assert_eq!(requests[0].header("holdfast-delivery"), requests[1].header("holdfast-delivery"));
    assert_eq!(requests[0].body, requests[1].body);
    let outcomes = "select string_agg(attempt || ' ' || outcome || ' ' || status, ', ' order by at, attempt) from delivery";
    eventually("the log has all attempts", async || {
        let logged = world.text(outcomes).await?;
        (logged == "1 failed 503, 2 delivered 204, 1 delivered 204").then_some(())
    })
    .await;

    world.apply(&json!({ "routes": [route("all", &["b"])] })).await;
    receiver.answer_next("410 Gone");
    world.open_alert("erp", Severity::Warning, None).await;
    let given_up =
        "select last_error from notification where channel = 'b' and state = 'given_up' and attempts = 1";
    let error = eventually("it is given up", async || world.text(given_up).await).await;
    assert_eq!(error, "answered 410");
    receiver.answer_next("302 Found\r\nLocation: /elsewhere");
    world.open_alert("crm", Severity::Warning, None).await;
    let redirected =
        "select last_error from notification where last_error like '%redirects are not followed'";
    eventually("a redirect is refused", async || world.text(redirected).await).await;
    assert!(receiver.received().iter().all(|received| !received.line.contains("elsewhere")));
    world.stop(reporter).await;
}

#[tokio::test]
async fn a_private_network_is_out_of_reach_and_a_channel_that_is_removed_takes_what_waits_along() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let mut hook = webhook(world, "hook", &receiver.url.replace("127.0.0.1", "localhost"));
        hook["allow_private"] = json!(false);
        json!({ "channels": [hook], "routes": [route("all", &["hook"])] })
    })
    .await;
    world.open_alert("docs", Severity::Warning, None).await;
    let (reporter, _) = world.start_reporter().await;
    let refused = "select last_error from notification where state = 'given_up'";
    let error = eventually("it is refused", async || world.text(refused).await).await;
    assert!(error.starts_with("localhost is at ") && error.contains("allow_private"), "{error}");
    assert_eq!(receiver.received().len(), 0);
    world.stop(reporter).await;

    let prune = world.write("none.yaml", "routes: []\n");
    let run = world.producer(&["apply", "--prune", prune.to_str().unwrap()]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("- channel hook") && run.stdout.contains("- route all"), "{run:?}");
    let audited = world.number("select count(*) from audit where subject in ('channel', 'route')").await;
    assert_eq!(audited, 4);
    world.execute("update notification set state = 'waiting', next_at = now(), ended_at = null").await;
    let (reporter, _) = world.start_reporter().await;
    let gone = "select last_error from notification where state = 'given_up' and attempts = 2";
    let error = eventually("it is given up", async || world.text(gone).await).await;
    assert_eq!(error, "no channel has this name any more");
    world.stop(reporter).await;
}

#[tokio::test]
async fn the_end_comes_to_whoever_was_told_though_routes_have_changed_since() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let hooks = ["a", "b"].map(|name| webhook(world, name, &format!("{}/{name}", receiver.url)));
        json!({ "channels": hooks, "routes": [route("all", &["a"])] })
    })
    .await;
    let (reporter, _) = world.start_reporter().await;
    let mut docs = world.open_alert("docs", Severity::Critical, None).await;
    eventually_told(&receiver, "/a", &["docs opened"]).await;
    world.apply(&json!({ "routes": [route("all", &["b"])] })).await;
    world.move_alert(&mut docs, Transition::Resolved, None).await;
    eventually_told(&receiver, "/a", &["docs opened", "docs resolved"]).await;
    assert_eq!(told(&receiver, "/b"), [""; 0]);
    world.stop(reporter).await;
}

#[tokio::test]
async fn two_reporters_tell_everything_and_nothing_twice() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let hooks = ["a", "b"].map(|name| webhook(world, name, &format!("{}/{name}", receiver.url)));
        json!({ "channels": hooks, "routes": [route("all", &["a", "b"]), route("more", &["b"])] })
    })
    .await;
    let settings = [("HOLDFAST_LISTEN", "127.0.0.1:0")];
    let reporters = ["r1", "r2"].map(|name| world.start("reporter", name, &settings));
    let mut expected = BTreeSet::new();
    for number in 0..20 {
        let subject = format!("job-{number}");
        let mut alert = world.open_alert(&subject, Severity::Warning, None).await;
        world.move_alert(&mut alert, Transition::Resolved, None).await;
        expected.extend(["opened", "resolved"].map(|transition| format!("{subject} {transition}")));
    }
    for path in ["/a", "/b"] {
        eventually("all is told", async || (told(&receiver, path).len() >= expected.len()).then_some(()))
            .await;
    }
    let waiting = "select count(*) from notification where state = 'waiting'";
    eventually("nothing waits", async || (world.number(waiting).await == 0).then_some(())).await;
    for path in ["/a", "/b"] {
        let told = told(&receiver, path);
        assert_eq!(told.len(), expected.len(), "{told:?}");
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    let ids: Vec<String> =
        receiver.received().iter().map(|received| received.header("holdfast-delivery").to_owned()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each was sent once");
    for reporter in reporters {
        world.stop(reporter).await;
    }
}

#[tokio::test]
async fn the_commands_show_what_was_told_and_try_a_channel_out() {
    let receiver = Receiver::start().await;
    let world = world_with(|world| {
        let hook = webhook(world, "hook", &receiver.url);
        json!({ "channels": [hook], "routes": [route("all", &["hook"])] })
    })
    .await;
    let run = world.run("reporter", ["notifications", "test", "--channel", "hook"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("hook (webhook): delivered with 204"), "{run:?}");
    assert_eq!(receiver.received()[0].json()["test"], true);
    receiver.answer_next("401 Unauthorized");
    let run = world.run("reporter", ["notifications", "test", "--channel", "hook", "--json"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    let trial: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&trial["outcome"], &trial["status"]), (&json!("refused"), &json!(401)));
    let run = world.run("reporter", ["notifications", "test", "--channel", "nobody"]).await;
    assert!(run.code == 2 && run.stderr.contains("no channel is named nobody"), "{run:?}");

    let (reporter, url) = world.start_reporter().await;
    // The first that is given up has to be seen as an increase, so it begins at zero for every kind.
    for channel in ["email", "webhook", "slack", "teams", "alertmanager", "unknown"] {
        for outcome in ["delivered", "failed", "given_up"] {
            let series =
                format!(r#"holdfast_notifications_total{{channel="{channel}",outcome="{outcome}"}}"#);
            eventually("the series are there before anything is told", async || {
                harness::metrics(&url)
                    .await
                    .get(&series)
                    .map(|count| assert_eq!(Some(count), Some(&0.0), "{series}"))
            })
            .await;
        }
    }
    world.open_alert("docs", Severity::Warning, None).await;
    let delivered = "select count(*) from notification where state = 'delivered'";
    eventually("it is delivered", async || (world.number(delivered).await == 1).then_some(())).await;
    let list = world.run("reporter", ["notifications", "list"]).await;
    assert!(list.stdout.contains("backup_failed docs opened"), "{list:?}");
    let list =
        world.run("reporter", ["notifications", "list", "--state", "delivered", "--json"]).await.json();
    assert_eq!(list[0]["deliveries"][0]["outcome"], "delivered");
    let run = world.run("reporter", ["notifications", "list", "--state", "given_up", "--json"]).await;
    assert_eq!(run.json(), json!([]));
    let counter = r#"holdfast_notifications_total{channel="webhook",outcome="delivered"}"#;
    eventually("the metrics count it", async || {
        let metrics = harness::metrics(&url).await;
        (metrics.get(counter) == Some(&1.0) && metrics.get("holdfast_notifications_waiting") == Some(&0.0))
            .then_some(())
    })
    .await;
    world.stop(reporter).await;
}
