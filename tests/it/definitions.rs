//! Definitions: applied whole or not at all, never twice, with what they change told; and the way back.

use harness::{Run, World};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// The producer's own generator.
#[path = "../../producer/src/definitions/any/mod.rs"]
mod any;

#[tokio::test]
async fn a_wrong_definition_names_file_line_and_field_and_nothing_is_applied() {
    let world = World::new().await;
    let good =
        world.write("good.yaml", json!({ "targets": [world.target("disk-a", &json!({}))] }).to_string());
    let bad = world.write(
        "bad.yaml",
        "targets:\n  - name: disk-b\n    repository: /backups/b\n    password: { file: /etc/key }\n    media: disk\n    \
         site: hq\n    failure_domain: b\n    limits: { concurrency: 0 }\njobs:\n  - name: docs\n    owner: ops\n    \
         targets: [nowhere]\n    source: { kind: files, paths: [/srv], site: hq, failure_domain: h, media: disk }\n    \
         colour: blue\n",
    );
    let run = world.producer(&["apply", good.to_str().unwrap(), bad.to_str().unwrap()]).await;
    assert_eq!(run.code, 2, "{run:?}");
    for expected in
        ["bad.yaml:8", "limits.concurrency", "use 1 to", "bad.yaml:12", "nowhere", "bad.yaml:14", "colour"]
    {
        assert!(run.stderr.contains(expected), "{expected} is not in {}", run.stderr);
    }
    assert_eq!(world.number("select (select count(*) from target) + (select count(*) from job)").await, 0);
}

#[tokio::test]
async fn what_is_applied_already_is_not_written_again() {
    let world = World::new().await;
    let definitions = json!({
        "targets": [world.target("disk-a", &json!({}))],
        "jobs": [world.files_job("docs", &["disk-a"])],
    });
    world.apply(&definitions).await;
    world.apply(&definitions).await;
    assert_eq!(world.number("select sum(version)::bigint from job").await, 1);
    assert_eq!(world.number("select sum(version)::bigint from target").await, 1);
}

/// What `apply` says has changed, as `kind name change`, without what has not.
pub(crate) fn changes(run: &Run) -> Vec<String> {
    let told = run.json();
    let lists = ["targets", "jobs", "limits", "reports", "alerts", "maintenance", "channels", "routes"]
        .into_iter()
        .flat_map(|list| {
            let entries = told[list].as_array().unwrap().clone();
            entries.into_iter().map(move |entry| (list, entry))
        });
    lists
        .filter(|(_, entry)| entry["change"] != "unchanged")
        .map(|(list, entry)| {
            format!("{list} {} {}", entry["name"].as_str().unwrap(), entry["change"].as_str().unwrap())
        })
        .collect()
}

/// Applies definitions with options; the answer is JSON.
pub(crate) async fn apply(world: &World, definitions: &Value, options: &[&str]) -> Run {
    let file = world.write("definitions.yaml", definitions.to_string());
    world.producer(&[&["apply", "--json"], options, &[file.to_str().unwrap()]].concat()).await
}

#[tokio::test]
async fn a_difference_says_what_each_field_was_and_what_it_becomes_and_a_dry_run_says_the_same() {
    let world = World::new().await;
    let targets = ["disk-a", "nas-b", "usb-c"].map(|name| world.target(name, &json!({})));
    let mut job = world.files_job("docs", &["disk-a", "usb-c"]);
    job["rpo"] = json!("24h");
    job["source"]["exclude"] = json!(["*.tmp"]);
    let mut definitions = json!({ "targets": targets, "jobs": [job, world.files_job("mail", &["disk-a"])] });
    world.apply(&definitions).await;

    let job = &mut definitions["jobs"][0];
    job["rpo"] = json!("2h");
    job["rto"] = json!("1h");
    job["targets"] = json!(["disk-a", "nas-b"]);
    job["source"]["exclude"] = json!(["*.tmp", "*.bak"]);
    job["schedule"] = json!({ "cron": "0 2 * * *", "timezone": "Europe/Berlin" });
    definitions["targets"][0]["site"] = json!("vault");
    definitions["limits"] = json!([{ "owner": "ops", "concurrency": 2 }]);
    let file = world.write("changed.yaml", definitions.to_string());
    let file = file.to_str().unwrap();
    let expected = "~ target disk-a
    site: hq -> vault
~ job docs
    rpo: 1day -> 2h
    rto: none -> 1h
    schedule: manual -> { catch_up: latest, cron: 0 2 * * *, overlap: skip, timezone: Europe/Berlin }
    source.exclude: + *.bak
    targets: + nas-b, - usb-c
+ limit owner:ops
1 added, 2 changed, 0 removed, 3 unchanged
";
    let (dry, dry_json) = (
        world.producer(&["apply", "--dry-run", file]).await,
        world.producer(&["apply", "--dry-run", "--json", file]).await,
    );
    assert_eq!((dry.code, dry.stdout.as_str()), (0, expected), "{dry:?}");
    assert!(dry.stderr.contains("nothing was written"), "{dry:?}");
    let written = "select (select sum(version) from job) + (select sum(version) from target)
         + (select count(*) from limit_setting) + (select count(*) from schedule)";
    assert_eq!(world.number(&format!("select ({written})::bigint")).await, 5, "a dry run has written");

    let run = world.producer(&["apply", file]).await;
    assert_eq!((run.code, run.stdout.as_str()), (0, expected), "{run:?}");
    let told = dry_json.json();
    assert_eq!(told["jobs"][0]["fields"][0], json!({ "field": "rpo", "before": "1day", "after": "2h" }));
    assert_eq!(told["jobs"][1], json!({ "name": "mail", "change": "unchanged" }));
    assert_eq!(changes(&dry_json), ["targets disk-a changed", "jobs docs changed", "limits owner:ops added"]);
    let again = world.producer(&["apply", file]).await;
    assert_eq!(again.stdout, "0 added, 0 changed, 0 removed, 6 unchanged\n", "{again:?}");
}

#[tokio::test]
async fn what_a_job_can_never_keep_is_warned_of_with_file_line_field_and_reason_and_applied() {
    let world = World::new().await;
    let file = world.write(
        "demo.yaml",
        "targets:
- { name: disk-a, repository: /backups/a, password: { env: A }, media: disk, site: hq, failure_domain: a }
- { name: usb, repository: /backups/u, password: { env: A }, media: removable, site: safe, failure_domain: u, isolation: detached }
jobs:
- name: lonely
  owner: ops
  source: { kind: files, paths: [/srv], media: disk, site: hq, failure_domain: h }
  targets: [disk-a]
  rpo: 24h
  schedule: { cron: \"0 2 * * *\" }
- name: slow
  owner: ops
  source: { kind: files, paths: [/srv], media: disk, site: hq, failure_domain: h }
  targets: [disk-a, usb]
  rpo: 48h
  verify:
    read: 7d
    schedule: { read: { cron: \"0 5 1 * *\" } }
- name: whole
  owner: ops
  source: { kind: files, paths: [/srv], media: disk, site: hq, failure_domain: h }
  targets: [disk-a, usb]
  schedule: { cron: \"0 2 * * *\", timezone: Europe/Berlin }
  verify: { read: 7d, schedule: { read: { cron: \"0 5 * * 0\" } } }
- name: asleep
  owner: ops
  source: { kind: files, paths: [/srv], media: disk, site: hq, failure_domain: h }
  targets: [disk-a]
  active: false
",
    );
    let run = world.producer(&["apply", "--json", file.to_str().unwrap()]).await;
    let told = run.json();
    let warnings = told["warnings"].as_array().unwrap().iter().map(|warning| {
        format!(
            "{} {} {} {}",
            warning["line"],
            warning["field"].as_str().unwrap(),
            warning["rule"].as_str().unwrap(),
            warning["message"].as_str().unwrap()
        )
    });
    let expected = [
        "8 jobs.lonely.targets 1-isolated 1-isolated can never pass: no backup that counts is isolated; disk-a: its target is \
         not isolated",
        "8 jobs.lonely.targets 1-offsite 1-offsite can never pass: no backup that counts is away from hq; no further target",
        "8 jobs.lonely.targets 2-media 2-media can never pass: 1 media classes, 2 failure domains, 2 of each needed; no \
         further target",
        "8 jobs.lonely.targets 3-copies 3-copies can never pass: the source and 1 backups, 2 backups needed; no further target",
        "9 jobs.lonely.rpo rpo the newest restore point may be 1day old, but up to 1day lie between two backups",
        "15 jobs.slow.rpo rpo nothing backs it up by itself: give it a schedule, or say `schedule: manual`",
        "17 jobs.slow.verify.read verify a read check may be 7days old, but up to 31days lie between two of them",
    ];
    assert_eq!(warnings.collect::<Vec<_>>(), expected);
    assert!(told["warnings"][0]["file"].as_str().unwrap().ends_with("demo.yaml"), "{told}");
    let line = "demo.yaml:15: jobs.slow.rpo: nothing backs it up";
    assert!(run.stderr.contains(line) && run.stderr.contains("warning: "), "{run:?}");
    assert_eq!(world.number("select count(*) from job").await, 4);
}

#[tokio::test]
async fn verifications_and_reports_have_schedules_that_follow_their_definitions() {
    let world = World::new().await;
    let targets = ["disk-a", "nas-b"].map(|name| world.target(name, &json!({})));
    let mut job = world.files_job("docs", &["disk-a", "nas-b"]);
    job["schedule"] = json!({ "every": "1h" });
    job["verify"] = json!({ "schedule": { "read": { "cron": "0 5 * * 0", "timezone": "Europe/Berlin" },
        "restore": { "cron": "0 6 1 * *" } } });
    let reports = json!([{ "name": "daily", "report": "daily", "schedule": { "cron": "55 23 * * *" } }]);
    let mut definitions = json!({ "targets": targets, "jobs": [job], "reports": reports });
    world.apply(&definitions).await;
    let rows =
        "select string_agg(concat_ws(' ', kind, name, params, job_id is not null, next_due > now()), E'\\n'
         order by kind, name) from schedule";
    let expected = r#"backup docs {} t t
report daily {"report":"daily"} f t
verify docs/read/disk-a {"target":"disk-a","level":"read"} t t
verify docs/read/nas-b {"target":"nas-b","level":"read"} t t
verify docs/restore/disk-a {"target":"disk-a","level":"restore"} t t
verify docs/restore/nas-b {"target":"nas-b","level":"restore"} t t"#;
    let stored = world.text(rows).await.unwrap();
    assert_eq!(sorted_params(&stored), sorted_params(expected));

    // A paused schedule stays so while others come and go beside it.
    let run = world.producer(&["schedule", "pause", "docs/read/disk-a", "--kind", "verify"]).await;
    assert_eq!((run.code, run.stdout.trim()), (0, "the verify schedule of docs/read/disk-a is paused"));
    definitions["jobs"][0]["targets"] = json!(["disk-a"]);
    definitions["jobs"][0].as_object_mut().unwrap().remove("schedule");
    definitions["reports"] =
        json!([{ "name": "daily", "report": "daily", "schedule": { "cron": "50 23 * * *" } }]);
    let run = apply(&world, &definitions, &[]).await;
    assert_eq!(changes(&run), ["jobs docs changed", "reports daily changed"]);
    let names = "select string_agg(name || coalesce(' ' || (paused_at is not null), ''), ', ' order by kind, name) from schedule";
    let expected = "daily false, docs/read/disk-a true, docs/restore/disk-a false";
    assert_eq!(world.text(names).await.as_deref(), Some(expected));
    let spec = "select spec ->> 'cron' from schedule where kind = 'report'";
    assert_eq!(world.text(spec).await.as_deref(), Some("50 23 * * *"));
}

/// The text with the parameters' keys in one order.
fn sorted_params(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let (before, after) = (line.find('{').unwrap(), line.find('}').unwrap() + 1);
        let params: Value = serde_json::from_str(&line[before..after]).unwrap();
        format!("{}{params}{}", &line[..before], &line[after..])
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn the_next_due_times_of_a_job_with_several_schedules_come_in_their_order_by_name() {
    let world = World::new().await;
    let targets = ["disk-a", "nas-b"].map(|name| world.target(name, &json!({})));
    let mut job = world.files_job("docs", &["disk-a", "nas-b"]);
    job["verify"] =
        json!({ "schedule": { "read": { "cron": "0 5 * * *" }, "restore": { "cron": "0 4 2 * *" } } });
    let reports = json!([{ "name": "daily", "report": "daily", "schedule": { "cron": "55 23 * * *" } }]);
    world.apply(&json!({ "targets": targets, "jobs": [job], "reports": reports })).await;
    let next = async |name: &str, kind: &str| {
        let from = ["--from", "2026-11-01T06:00:00Z", "--count", "5"];
        world.producer(&[&["schedule", "next", "--job", name, "--kind", kind], &from[..]].concat()).await
    };
    let all = next("docs", "verify").await;
    let expected = "2026-11-02T04:00:00Z docs/restore/disk-a
2026-11-02T04:00:00Z docs/restore/nas-b
2026-11-02T05:00:00Z docs/read/disk-a
2026-11-02T05:00:00Z docs/read/nas-b
2026-11-03T05:00:00Z docs/read/disk-a
";
    assert_eq!((all.code, all.stdout.as_str()), (0, expected), "{all:?}");
    let one = next("docs/restore/nas-b", "verify").await;
    assert!(one.stdout.starts_with("2026-11-02T04:00:00Z\n2026-12-02T04:00:00Z\n"), "{one:?}");
    let report = next("daily", "report").await;
    assert!(report.stdout.starts_with("2026-11-01T23:55:00Z\n"), "{report:?}");
    let both = world.producer(&["schedule", "next", "--job", "docs", "--cron", "@daily"]).await;
    let neither = world.producer(&["schedule", "next"]).await;
    assert_eq!((both.code, neither.code), (2, 2), "{both:?} {neither:?}");
    let none = next("docs", "backup").await;
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stderr.contains("the job has no such schedule"), "{none:?}");
    let run = world.producer(&["schedule", "pause", "docs", "--kind", "verify"]).await;
    assert_eq!(run.stdout.trim(), "the 4 verify schedules of docs are paused", "{run:?}");
    assert_eq!(world.number("select count(*) from schedule where paused_by is not null").await, 4);
}

/// As JSON that is YAML as well.
fn text(definitions: &Value) -> String {
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        c => c.to_string(),
    };
    definitions.to_string().chars().map(escaped).collect()
}

#[tokio::test]
async fn what_is_exported_is_taken_back_as_no_change() {
    let world = World::new().await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..8 {
        let definitions = any::file().new_tree(&mut runner).unwrap().current();
        let file = world.write("any.json", text(&definitions));
        let run = world.producer(&["apply", "--prune", file.to_str().unwrap()]).await;
        assert_eq!(run.code, 0, "{run:?}\n{definitions}");
        for options in [&["export"][..], &["export", "--json"]] {
            let exported = world.producer(options).await;
            assert_eq!(exported.code, 0, "{exported:?}");
            let file = world.write("exported", exported.stdout);
            let run = world.producer(&["apply", "--json", "--prune", file.to_str().unwrap()]).await;
            assert_eq!(changes(&run), [""; 0], "{run:?}\n{definitions}");
        }
    }
}

#[tokio::test]
async fn single_jobs_can_be_exported_and_secrets_are_references() {
    let world = World::new().await;
    let jobs = ["docs", "mail"].map(|name| world.files_job(name, &["disk-a"]));
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let one = world.producer(&["export", "--job", "mail", "--json"]).await.json();
    assert_eq!(one["jobs"][0]["name"], "mail");
    assert_eq!((one["jobs"].as_array().unwrap().len(), &one["targets"]), (1, &Value::Null));
    let all = world.producer(&["export"]).await;
    let reference = format!("password:\n    file: {}", world.path("password").display());
    assert!(all.stdout.contains(&reference) && !all.stdout.contains("correct horse"), "{all:?}");
    let unknown = world.producer(&["export", "--job", "docs", "nobody"]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("no job is named \"nobody\""), "{unknown:?}");
}

#[tokio::test]
async fn the_schema_needs_no_database() {
    let world = World::new().await;
    let run =
        world.run_with("producer", ["schema"], &[("DATABASE_URL", "postgres://nowhere.invalid/x")]).await;
    assert_eq!(run.json()["properties"]["jobs"]["type"], "array");
}

#[tokio::test]
async fn thousands_of_jobs_are_applied_at_once() {
    let world = World::new().await;
    let job = |number: usize| {
        let mut job = world.files_job(&format!("job-{number}"), &["disk-a"]);
        job["owner"] = json!(format!("team-{}", number % 50));
        job["schedule"] =
            json!({ "cron": format!("{} {} * * *", number % 60, number / 60 % 24), "jitter": "10m" });
        job
    };
    let jobs: Vec<Value> = (0..2000).map(job).collect();
    let definitions = json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs });
    // The harness gives each command a minute; no busy machine needs it if nothing is done for each job by itself.
    let run = apply(&world, &definitions, &[]).await;
    assert_eq!(changes(&run).len(), 2001);
    let counts = "select (select count(*) from job) + (select count(*) from schedule) + (select count(*) from compliance)";
    assert_eq!(world.number(counts).await, 6000);
    assert_eq!(changes(&apply(&world, &definitions, &[]).await), [""; 0]);
    let run = world.producer(&["apply", world.path("definitions.yaml").to_str().unwrap()]).await;
    assert!(run.stderr.contains("more like these: --json has all of them"), "{}", run.stderr.len());
}
