//! What the three programs measure: what they show is what they declare, and docs/metrics.md says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use devstack::proxy::Mode;
use devstack::{Proxy, Service};
use harness::{World, address, eventually, metrics};
use serde::Deserialize;
use serde_json::json;

use crate::http::Client;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
const PROGRAMS: [&str; 3] = ["producer", "worker", "reporter"];

const HEAD: &str = "# Metrics

Made from what the programs declare (`producer schema metrics`, and so on); a test keeps it so. Each program serves its own at `/metrics`, without a
token, where `listen` says; a worker and a producer measure nothing without `listen`. Names end with their unit, and counters with `_total`: these
begin anew with the process. Labels have few values, and jobs have series of their own only up to `job_series`. What the reporter's gauges show is about
the whole installation: where several run, take the maximum over them, not the sum. Its counters of notifications, heartbeats, alerts' changes and the cache are
of the process, as the others' are: take the sum. [monitoring.md](monitoring.md) says what to look at.
";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Declared {
    program: String,
    name: String,
    kind: String,
    labels: Vec<String>,
    meaning: String,
}

async fn declared(world: &World, program: &str) -> Vec<Declared> {
    serde_json::from_str(&world.run(program, ["schema", "metrics"]).await.stdout).unwrap()
}

#[tokio::test]
async fn the_list_of_metrics_says_what_the_programs_declare() {
    let world = World::new().await;
    let mut all = BTreeSet::new();
    for program in PROGRAMS {
        all.extend(declared(&world, program).await);
    }
    let mut text = HEAD.to_owned();
    for (part, title) in [
        ("shared", "Every program"),
        ("producer", "Producer"),
        ("worker", "Worker"),
        ("reporter", "Reporter"),
    ] {
        write!(text, "\n## {title}\n\n| metric | labels | kind | what it is |\n| --- | --- | --- | --- |\n")
            .unwrap();
        for Declared { name, kind, labels, meaning, .. } in all.iter().filter(|one| one.program == part) {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(text, "| `{name}` | {} | {kind} | {meaning} |", labels.join(", ")).unwrap();
        }
    }
    if std::fs::read_to_string(DOCUMENT).unwrap_or_default() != text {
        let made = std::env::temp_dir().join("holdfast-metrics.md");
        std::fs::write(&made, text).unwrap();
        panic!("docs/metrics.md is not what the programs declare: copy {} over it", made.display());
    }
}

/// A series as it is shown: the name of its metric, and those of its labels.
fn series(line: &str, kinds: &BTreeMap<String, String>) -> (String, Vec<String>) {
    let (full, _) = line.rsplit_once(' ').unwrap();
    let (name, labels) =
        full.split_once('{').map_or((full, ""), |(name, labels)| (name, labels.trim_end_matches('}')));
    let of_histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|end| name.strip_suffix(end))
        .find(|name| kinds.get(*name).is_some_and(|kind| kind == "histogram"));
    // No value of a label has a quotation mark here.
    let labels = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(label, _)| label);
    let labels = labels.filter(|label| of_histogram.is_none() || *label != "le").map(str::to_owned).collect();
    (of_histogram.unwrap_or(name).to_owned(), labels)
}

/// Looks at what a program shows until all is there that it declares, but for `absent`, which is not.
async fn shows_what_it_declares(world: &World, program: &str, url: &str, service: &Service, absent: &[&str]) {
    let declared = declared(world, program).await;
    let expected: BTreeSet<&str> =
        declared.iter().map(|one| &*one.name).filter(|name| !absent.contains(name)).collect();
    let text = eventually(&format!("{program} shows all"), async || {
        let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        let has = |name: &&&str| text.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
        let missing: Vec<_> = expected.iter().filter(|name| !has(name)).collect();
        eprintln!("{program} does not show yet: {missing:?}");
        missing.is_empty().then_some(text)
    })
    .await;
    let kinds: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, labels) = series(line, &kinds);
        let Some(one) = declared.iter().find(|one| one.name == name) else {
            panic!("{program} shows {name}, which it does not declare")
        };
        assert_eq!(kinds[&name], one.kind, "{name}");
        let sorted = |mut labels: Vec<String>| {
            labels.sort();
            labels
        };
        assert_eq!(sorted(labels), sorted(one.labels.clone()), "{line}");
        assert!(text.contains(&format!("# HELP {name} {}", one.meaning)), "{name}");
    }
    for name in absent {
        assert!(
            !kinds.contains_key(*name),
            "{name} is there: it is no exception any more\n{}",
            service.log()
        );
    }
}

#[tokio::test]
async fn each_program_shows_what_it_declares_after_a_day_with_everything_in_it() {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let scheduled = json!({ "every": "1s" });
    let mut often = world.simulated_job("often", &["disk-a"], &json!({}));
    often["schedule"] = scheduled;
    world
        .apply(&json!({
            "targets": [world.target("disk-a", &json!({}))],
            "jobs": [world.files_job("docs", &["disk-a"]), often],
        }))
        .await;
    let client = Client::new(&world, "operator").await;
    let worker = world.start_worker("w1", &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
    let worker_url = address(&worker).await;
    let (reporter, reporter_url) = world.start_reporter().await;
    for command in [
        &["enqueue", "backup", "--job", "docs", "--wait"][..],
        &["enqueue", "restore", "--job", "docs", "--param", "into=again", "--wait"],
        &["enqueue", "backup", "--job", "often", "--wait"],
    ] {
        let run = world.producer(command).await;
        assert_eq!(run.code, 0, "{run:?}");
    }
    let answer = client.post("tasks", &json!({ "kind": "backup", "job": "often" })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let read = reqwest::Client::new().get(format!("{reporter_url}/api/v1/jobs")).bearer_auth(&client.token);
    assert_eq!(read.send().await.unwrap().status(), 200);

    let of_http =
        ["holdfast_http_requests_total", "holdfast_http_request_seconds", "holdfast_http_statements_total"];
    let elsewhere = [&of_http[..], &["holdfast_leader"]].concat();
    shows_what_it_declares(&world, "producer", &client.url, &worker, &[]).await;
    shows_what_it_declares(&world, "worker", &worker_url, &worker, &elsewhere).await;
    let not_there = [
        // No dead man's switch is told of anything, nothing is read from a replica, and there is no Redis.
        "holdfast_heartbeats_total",
        "holdfast_cache_redis_up",
        "holdfast_replica_lag_seconds",
        "holdfast_replica_used",
    ];
    shows_what_it_declares(&world, "reporter", &reporter_url, &reporter, &not_there).await;
    world.stop(worker).await;
    world.stop(reporter).await;
}

#[tokio::test]
async fn only_a_first_attempt_is_a_pick_up_whatever_could_not_begin_before() {
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let (targets, jobs) = ([world.target("disk-a", &json!({}))], [world.files_job("docs", &["disk-a"])]);
    world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
    let hold = "insert into repository_lock (target_id, task_id, epoch, exclusive, expires_at)
         select id, gen_random_uuid(), 1, true, now() + interval '1 hour' from target";
    world.execute(hold).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
    let url = address(&worker).await;
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs"]).await.code, 0);
    let waits = "select count(*) from task where attempt = 0 and epoch > 0";
    eventually("it waits for the repository", async || (world.number(waits).await == 1).then_some(())).await;
    world.execute("delete from repository_lock").await;
    world.execute("update task set run_at = now(), publish_at = now()").await;
    world.wait_until_idle().await;
    let counted = "holdfast_worker_attempts_total{kind=\"backup\",outcome=\"success\"}";
    let measured = eventually("it is counted", async || {
        let measured = metrics(&url).await;
        (measured[counted] > 0.0).then_some(measured)
    })
    .await;
    let times = |name: &str| format!("{:.0}", measured[name]);
    assert_eq!(times("holdfast_worker_started_total{kind=\"backup\"}"), "2");
    assert_eq!(times("holdfast_worker_pickup_seconds_count{kind=\"backup\"}"), "1");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_producer_that_lost_its_database_does_not_say_that_it_sees_to_schedules() {
    let world = World::new().await;
    let (before, rest) = world.database_url().rsplit_once(':').unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(port.parse().unwrap()).await.unwrap();
    let url = format!("{before}:{}/{name}", proxy.port());
    let settings = [("DATABASE_URL", url.as_str()), ("HOLDFAST_LISTEN", "127.0.0.1:0")];
    let producer = world.start("producer", "producer", &settings);
    let url = address(&producer).await;
    let leads = async || metrics(&url).await.get("holdfast_leader{duty=\"schedules\"}").copied();
    eventually("it leads", async || leads().await.is_some_and(|leads| leads > 0.0).then_some(())).await;
    proxy.set(Mode::BlackHole);
    eventually("it leads no more", async || leads().await.is_some_and(|leads| leads < 1.0).then_some(()))
        .await;
    proxy.set(Mode::Pass);
    eventually("it leads again", async || leads().await.is_some_and(|leads| leads > 0.0).then_some(())).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_worker_is_ready_while_it_can_take_and_keep_work() {
    let world = World::new().await;
    let worker = world.start_worker("w1", &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
    let url = address(&worker).await;
    let ready = async || reqwest::get(format!("{url}/readyz")).await.unwrap().status().as_u16();
    eventually("it is ready", async || (ready().await == 200).then_some(())).await;
    // The broker takes nobody in any more.
    let user = format!("vhosts/{}", world.broker.name());
    world.broker.manage(reqwest::Method::DELETE, &user, None).await;
    eventually("it is not ready without its broker", async || (ready().await == 503).then_some(())).await;
    assert_eq!(reqwest::get(format!("{url}/healthz")).await.unwrap().status(), 200, "it lives");
    world.broker.ensure().await;
    eventually("it is ready again", async || (ready().await == 200).then_some(())).await;
    world.stop(worker).await;
}
