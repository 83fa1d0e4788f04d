use std::time::Duration;

use chrono_tz::Tz;
use shared::compliance::{DEFAULT_RPO, READ_WINDOW, RESTORE_WINDOW};
use shared::job::{Hashes, SourceData, TryLimits};
use shared::limit::Limit;
use shared::schedule::{Blackout, CatchUp, Day, Overlap, Schedule, When};
use shared::target::{Isolation, SecretRef};
use shared::task::{Priority, TaskKind};

use super::*;
use crate::apply::{self, Removals, Stored};

mod alerts;
mod notifications;
mod reported;
mod retention;

const TARGET: &str = "targets:
- name: disk-a
  repository: /backups/a
  password: { file: /etc/holdfast/disk-a.key }
  media: disk
  site: hq
  failure_domain: array-1
";

const JOB: &str = "jobs:
- name: docs
  owner: ops
  source:
    kind: files
    paths: [/srv/docs]
    site: hq
    failure_domain: host-1
    media: disk
  targets: [disk-a]
";

const SIMULATED: &str = "jobs:
- name: sim
  owner: ops
  source: { kind: simulated, site: hq, failure_domain: host-1, media: disk }
  targets: [disk-a]
";

fn read(texts: &[(&str, &str)]) -> (Definitions, Vec<String>) {
    let mut definitions = Definitions::default();
    for (file, text) in texts {
        definitions.add(file, text);
    }
    let problems = apply::problems(&definitions, &Removals::default(), &Stored::default());
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    schema::tests::agrees(texts, &problems);
    (definitions, problems)
}

/// The problems of one file.
fn problems(text: &str) -> Vec<String> {
    read(&[("demo.yaml", text)]).1
}

/// One of the texts above with one line replaced, or with lines added at the end.
fn with(text: &str, line: &str, instead: &str) -> String {
    assert!(text.contains(line), "{line:?} is not in the text");
    text.replacen(line, instead, 1)
}

#[test]
fn what_is_left_out_has_its_default() {
    let (definitions, problems) = read(&[("demo.yaml", &format!("{TARGET}{JOB}"))]);
    assert_eq!(problems, Vec::<String>::new());
    let (target, job) = (&definitions.targets[0], &definitions.jobs[0].job);
    assert_eq!(target.isolation, Isolation::None);
    assert_eq!(target.password, SecretRef::File("/etc/holdfast/disk-a.key".into()));
    assert_eq!((job.rpo, job.rto, job.priority), (DEFAULT_RPO, None, Priority::Normal));
    assert_eq!((job.verify.structure, job.verify.read), (None, READ_WINDOW));
    assert_eq!(job.verify.restore, RESTORE_WINDOW);
    assert_eq!((job.strict, job.active), (false, true));
    let SourceData::Files { paths, exclude, hashes } = &job.source.data else { panic!("not files") };
    assert_eq!(
        (paths.as_slice(), exclude.len(), *hashes),
        (&["/srv/docs".to_owned()][..], 0, Hashes::Sample)
    );
}

#[test]
fn every_field_reaches_its_place() {
    let options = "kind: simulated, duration: 2s, failure_rate: 0.25, bytes: 1GiB, aborts: true, region: eu, account: a1";
    let job = with(SIMULATED, "kind: simulated", options)
        + "  rpo: 12h
  rto: 1h
  priority: high
  verify: { structure: 1d, read: 7d, restore: 14d }
  tries: { backup: { attempts: 3, timeout: 6h }, verify: { timeout: 2h } }
  strict: true
  active: false
";
    let target = with(TARGET, "{ file: /etc/holdfast/disk-a.key }", "{ env: DISK_A }");
    let target = with(&target, "/backups/a", "rest:https://backup.example/a/") + "  isolation: detached\n";
    let (definitions, problems) = read(&[("demo.yaml", &format!("{target}{job}"))]);
    assert_eq!(problems, Vec::<String>::new());
    let (target, job) = (&definitions.targets[0], &definitions.jobs[0].job);
    assert_eq!(target.repository, "rest:https://backup.example/a");
    assert_eq!(target.password, SecretRef::Env("DISK_A".to_owned()));
    assert_eq!(target.isolation, Isolation::Detached);
    assert_eq!((job.rpo, job.rto), (Duration::from_hours(12), Some(Duration::from_hours(1))));
    assert_eq!(job.verify.structure, Some(Duration::from_hours(24)));
    assert_eq!(job.verify.restore, Duration::from_hours(14 * 24));
    assert_eq!((job.priority, job.strict, job.active), (Priority::High, true, false));
    let timeout = |hours| Some(Duration::from_hours(hours));
    let tries = [
        (TaskKind::Backup, TryLimits { attempts: Some(3), timeout: timeout(6) }),
        (TaskKind::Verify, TryLimits { attempts: None, timeout: timeout(2) }),
    ];
    assert_eq!(job.tries, tries.into());
    let expected = SourceData::Simulated {
        duration: Duration::from_secs(2),
        failure_rate: 0.25,
        bytes: 1 << 30,
        aborts: true,
    };
    assert_eq!(job.source.data, expected);
    assert_eq!(job.source.place.region.as_deref(), Some("eu"));
}

#[test]
fn each_bad_target_is_reported_with_file_line_and_field() {
    let cases = [
        (
            "repository: /backups/a",
            "repository: backups/a",
            3,
            "repository: \"backups/a\" is not an absolute path",
        ),
        ("/backups/a", "/backups/../a", 3, "repository: \"/backups/../a\" goes up again"),
        (
            "/backups/a",
            "opendal:s3",
            3,
            "repository: repositories of kind \"opendal\" are not implemented yet",
        ),
        ("/backups/a", "rest:ftp://host", 3, "repository: after \"rest:\" a URL"),
        ("/backups/a", "rest:https://me:secret@host/a", 3, "repository: the URL holds a user or a password"),
        ("{ file: /etc/holdfast/disk-a.key }", "secret", 4, "password: is never inline: use file or env"),
        (
            "{ file: /etc/holdfast/disk-a.key }",
            "{ file: disk-a.key }",
            4,
            "password.file: \"disk-a.key\" is not",
        ),
        ("{ file: /etc/holdfast/disk-a.key }", "{ env: A B }", 4, "password.env: \"A B\" is not the name"),
        ("{ file: /etc/holdfast/disk-a.key }", "{}", 4, "password: needs either file or env"),
        ("{ file: /", "{ env: A, file: /", 4, "password: needs either file or env"),
        ("media: disk", "media: floppy", 5, "media: \"floppy\" is unknown, use one of: disk, nas"),
        ("site: hq", "site: 12", 6, "site: is a number, put it in quotes"),
        ("site: hq", "site: ''", 6, "site: is empty"),
        ("site: hq", "site:", 6, "site: is nothing, a text is needed"),
        ("  media: disk\n", "", 2, "media: is missing"),
        ("array-1\n", "array-1\n  isolation: immutable\n", 8, "isolation: immutable is not implemented yet"),
        ("array-1\n", "array-1\n  limits: { concurrency: 0 }\n", 8, "limits.concurrency: use 1 to 1000000"),
        (
            "array-1\n",
            "array-1\n  limits: { concurrency: -1 }\n",
            8,
            "limits.concurrency: is not a whole number",
        ),
        (
            "array-1\n",
            "array-1\n  limits: { concurrency: 2, weight: 3 }\n",
            8,
            "limits.weight: only an owner has one",
        ),
        ("array-1\n", "array-1\n  limits: {}\n", 8, "limits: limits nothing"),
        ("array-1\n", "array-1\n  limits: { concurrency: 1, rate: 3 }\n", 8, "limits.rate: is unknown"),
        ("array-1\n", "array-1\n  colour: blue\n", 8, "colour: is unknown, use one of: name, repository"),
    ];
    for (line, instead, number, message) in cases {
        assert_only_problem(&with(TARGET, line, instead), number, &format!("targets.disk-a.{message}"));
    }
}

#[test]
fn each_bad_job_is_reported_with_file_line_and_field() {
    let cases = [
        ("owner: ops", "owner: [ops]", 3, "owner: is a list, a text is needed"),
        ("  owner: ops\n", "", 2, "owner: is missing"),
        ("kind: files", "kind: dump", 5, "source.kind: dump is not implemented yet"),
        ("kind: files", "kind: command", 5, "source.kind: command is not implemented yet"),
        ("kind: files", "kind: tapes", 5, "source.kind: \"tapes\" is unknown, use one of: files, reported"),
        ("paths: [/srv/docs]", "paths: [/srv, docs]", 6, "source.paths: \"docs\" is not an absolute path"),
        ("paths: [/srv/docs]", "paths: []", 6, "source.paths: is empty"),
        ("paths: [/srv/docs]", "paths: /srv/docs", 6, "source.paths: is a text, a list is needed"),
        ("    paths: [/srv/docs]\n", "", 5, "source.paths: is missing"),
        ("site: hq", "exclude: ['!a']\n    site: hq", 7, "source.exclude: \"!a\" begins with '!'"),
        ("site: hq", "hashes: some\n    site: hq", 7, "source.hashes: \"some\" is unknown"),
        ("site: hq", "duration: 1s\n    site: hq", 7, "source.duration: is unknown, use one of: kind, paths"),
        ("[disk-a]", "[]", 10, "targets: is empty"),
        ("[disk-a]", "[disk-a, disk-a]", 10, "targets: disk-a stands there twice"),
        ("[disk-a]", "[disk-a, a/b]", 10, "targets: \"a/b\" is not a name"),
        ("[disk-a]", "[disk-a, x]", 10, "targets: no target is named \"x\""),
        ("[disk-a]\n", "[disk-a]\n  rpo: 26\n", 11, "rpo: has no unit"),
        ("[disk-a]\n", "[disk-a]\n  rpo: soon\n", 11, "rpo: \"soon\" is not a length of time"),
        ("[disk-a]\n", "[disk-a]\n  rpo: 0s\n", 11, "rpo: is zero"),
        ("[disk-a]\n", "[disk-a]\n  rto: 11years\n", 11, "rto: is longer than 10 years"),
        ("[disk-a]\n", "[disk-a]\n  priority: urgent\n", 11, "priority: \"urgent\" is unknown"),
        ("[disk-a]\n", "[disk-a]\n  strict: yes\n", 11, "strict: is a text, true or false is needed"),
        (
            "[disk-a]\n",
            "[disk-a]\n  verify: { read: 31d }\n",
            11,
            "verify.read: a window may only be tightened",
        ),
        ("[disk-a]\n", "[disk-a]\n  verify: { restore: 91d }\n", 11, "verify.restore: a window may only be"),
        ("[disk-a]\n", "[disk-a]\n  verify: { structure: 0s }\n", 11, "verify.structure: is zero"),
        (
            "[disk-a]\n",
            "[disk-a]\n  verify: { all: 1d }\n",
            11,
            "verify.all: is unknown, use one of: structure",
        ),
        (
            "[disk-a]\n",
            "[disk-a]\n  tries: { report: {} }\n",
            11,
            "tries.report: is unknown, use one of: backup",
        ),
        (
            "[disk-a]\n",
            "[disk-a]\n  tries: { backup: { attempts: 0 } }\n",
            11,
            "tries.backup.attempts: is not from",
        ),
        (
            "[disk-a]\n",
            "[disk-a]\n  tries: { backup: { timeout: 5 } }\n",
            11,
            "tries.backup.timeout: has no unit",
        ),
    ];
    for (line, instead, number, message) in cases {
        let text = format!("{}{TARGET}", with(JOB, line, instead));
        assert_only_problem(&text, number, &format!("jobs.docs.{message}"));
    }
}

#[test]
fn a_schedule_says_when_by_whose_clock_and_what_becomes_of_what_was_missed() {
    let schedule = "  schedule:
    cron: \"0 2 * * *\"
    timezone: Europe/Berlin
    catch_up: all(3)
    jitter: 5m
    overlap: queue
    blackouts: [{ from: \"22:00\", until: \"01:00\", days: [fri, sat] }]
";
    let (definitions, problems) = read(&[("demo.yaml", &format!("{JOB}{schedule}{TARGET}"))]);
    assert_eq!(problems, Vec::<String>::new());
    let expected = Schedule {
        catch_up: CatchUp::All(3),
        jitter: Duration::from_mins(5),
        overlap: Overlap::Queue,
        blackouts: vec![Blackout {
            from: "22:00".parse().unwrap(),
            until: "01:00".parse().unwrap(),
            days: vec![Day::Friday, Day::Saturday],
        }],
        ..Schedule::new(When::Cron("0 2 * * *".parse().unwrap()), Tz::Europe__Berlin)
    };
    assert_eq!(definitions.jobs[0].job.schedule, Some(expected));
    let (manual, problems) = read(&[("demo.yaml", &format!("{JOB}  schedule: manual\n{TARGET}"))]);
    assert_eq!((&manual.jobs[0].job.schedule, problems), (&None, Vec::new()));
}

#[test]
fn each_bad_schedule_is_reported_with_line_and_field() {
    for (fields, message) in [
        ("{}", "schedule: needs one of cron and every"),
        ("{ cron: \"@daily\", every: 1h }", "schedule: needs one of cron and every"),
        ("{ cron: x }", "schedule.cron: \"x\" is no cron expression"),
        ("{ cron: \"0 0 31 2 *\" }", "schedule.cron: \"0 0 31 2 *\" is no cron expression: it never comes"),
        ("{ every: 100ms }", "schedule.every: is shorter than a second"),
        ("{ every: 1h, timezone: Berlin }", "schedule.timezone: \"Berlin\" is no time zone"),
        ("{ every: 1h, catch_up: all }", "schedule.catch_up: \"all\" is none of: none, latest, all(N)"),
        ("{ every: 1h, catch_up: all(1001) }", "schedule.catch_up: \"all(1001)\" is none of"),
        ("{ every: 1h, jitter: 25h }", "schedule.jitter: is longer than 24h"),
        ("{ every: 1h, overlap: maybe }", "schedule.overlap: \"maybe\" is unknown"),
        (
            "{ every: 1h, blackouts: [{ from: \"7\", until: \"8:00\" }] }",
            "schedule.blackouts.from: \"7\" is no",
        ),
        (
            "{ every: 1h, blackouts: [{ from: \"00:00\", until: \"00:00\" }] }",
            "schedule.blackouts: leave no time in which anything could be due",
        ),
        ("weekly", "schedule: is a text, a mapping is needed"),
    ] {
        let text = format!("{JOB}  schedule: {fields}\n{TARGET}");
        assert_only_problem(&text, 11, &format!("jobs.docs.{message}"));
    }
}

#[test]
fn a_schedule_has_no_more_blackouts_than_can_be_looked_through() {
    let blackout = "{ from: \"22:00\", until: \"23:00\" }";
    let text = |count: usize| {
        format!(
            "{JOB}  schedule: {{ every: 1h, blackouts: [{}] }}\n{TARGET}",
            vec![blackout; count].join(", ")
        )
    };
    assert_eq!(read(&[("demo.yaml", &text(20))]).1, Vec::<String>::new());
    let problems = read(&[("demo.yaml", &text(21))]).1;
    assert!(problems.len() == 1 && problems[0].contains("blackouts: are more than 20"), "{problems:?}");
}

#[test]
fn each_bad_simulation_is_reported() {
    for (option, message) in [
        ("failure_rate: 1.5", "failure_rate: is not from 0 to 1"),
        ("bytes: many", "bytes: \"many\" is not a size"),
        ("duration: 5", "duration: has no unit"),
    ] {
        let job = with(SIMULATED, "kind: simulated", &format!("kind: simulated, {option}"));
        assert_only_problem(&format!("{job}{TARGET}"), 4, &format!("jobs.sim.source.{message}"));
    }
}

fn assert_only_problem(text: &str, line: u64, message: &str) {
    let problems = problems(text);
    let expected = format!("demo.yaml:{line}: {message}");
    assert!(
        problems.len() == 1 && problems[0].starts_with(&expected),
        "expected {expected}, got {problems:#?}"
    );
}

#[test]
fn a_file_that_is_no_definition_is_reported() {
    for (text, expected) in [
        ("", "demo.yaml: is nothing, a mapping is needed"),
        ("- a", "demo.yaml: is a list, a mapping is needed"),
        ("targets: {}", "demo.yaml:1: targets: is a mapping, a list is needed"),
        ("jobs:\n- 17", "demo.yaml:2: jobs[0]: is a number, a mapping is needed"),
        (
            "hosts: []",
            "demo.yaml:1: hosts: is unknown, use one of: targets, jobs, limits, reports, upkeep, alerts, maintenance, channels, routes",
        ),
        ("jobs:\n  - a\n bad", "demo.yaml:3: "),
        ("jobs: []\njobs: []", "demo.yaml:2: duplicate mapping key `jobs`"),
    ] {
        let problems = problems(text);
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{text:?} gave {problems:#?}");
    }
}

#[test]
fn everything_wrong_in_all_files_is_reported_at_once() {
    let bad_target = with(TARGET, "media: disk", "media: floppy");
    let bad_job = with(&with(JOB, "owner: ops", "owner: 7"), "[disk-a]", "[disk-a, x]");
    let (_, problems) = read(&[("a.yaml", &bad_target), ("b.yaml", &bad_job)]);
    let places: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    // A target whose definition is wrong exists all the same: the job is right to name it.
    assert_eq!(places, ["a.yaml:5", "b.yaml:3", "b.yaml:10"], "{problems:#?}");
}

#[test]
fn a_name_that_is_defined_twice_names_both_places() {
    let other = with(TARGET, "/backups/a", "/backups/b");
    let (_, problems) = read(&[("a.yaml", TARGET), ("b.yaml", &other)]);
    assert_eq!(problems, ["b.yaml:2: targets.disk-a: is defined already at a.yaml:2"]);
}

#[test]
fn two_targets_with_one_repository_are_refused() {
    let other = with(&with(TARGET, "disk-a", "disk-b"), "/backups/a", "/backups//a/");
    let (_, problems) = read(&[("a.yaml", TARGET), ("b.yaml", &other)]);
    assert_eq!(
        problems,
        ["b.yaml:3: targets.disk-b.repository: is the same as that of the target at a.yaml:3"]
    );
}

#[test]
fn limits_stand_below_targets_and_in_a_list_of_their_own() {
    let target =
        with(TARGET, "array-1\n", "array-1\n  limits: { concurrency: 2, bytes_per_second: 50MiB }\n");
    let others = "limits:
- { pool: backup, starts_per_minute: 600, burst: 30, strict: true }
- { source: host-1, concurrency: 1 }
- { owner: ops, weight: 3 }
";
    let (definitions, problems) = read(&[("demo.yaml", &format!("{target}{JOB}{others}"))]);
    assert_eq!(problems, Vec::<String>::new());
    let keys: Vec<String> = definitions.limits.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["target:disk-a", "pool:backup", "source:host-1", "owner:ops"]);
    let limits: Vec<Limit> = definitions.limits.iter().map(|(_, limit)| *limit).collect();
    let none = Limit::default();
    assert_eq!(limits[0], Limit { concurrency: Some(2), bytes_per_second: Some(50 << 20), ..none });
    assert_eq!(limits[1], Limit { starts_per_minute: Some(600.0), burst: Some(30), strict: true, ..none });
    assert_eq!(limits[3], Limit { weight: Some(3), ..none });
}

#[test]
fn each_bad_limit_is_reported_with_file_line_and_field() {
    let limits = |entry: &str| format!("{TARGET}{JOB}limits:\n- {entry}\n");
    for (entry, message) in [
        ("{ concurrency: 1 }", "needs one of pool, source and owner"),
        ("{ pool: backup, owner: ops, concurrency: 1 }", "needs one of pool, source and owner"),
        ("{ pool: backups, concurrency: 1 }", "limits[0].pool: \"backups\" is unknown"),
        ("{ owner: nobody, concurrency: 1 }", "limits[0].owner: no job has this owner"),
        ("{ source: nowhere, concurrency: 1 }", "limits[0].source: no job's source has this failure_domain"),
        ("{ target: disk-a, concurrency: 1 }", "needs one of pool, source and owner"),
        ("{ pool: backup, starts_per_minute: 0 }", "limits[0].starts_per_minute: use 0.001"),
        (
            "{ pool: backup, starts_per_minute: 6, burst: 9, concurrency: 3 }",
            "limits[0].burst: 9 at once are more",
        ),
        (
            "{ pool: backup, starts_per_minute: 600, burst: 3, strict: true }",
            "limits[0].burst: a strict limit",
        ),
    ] {
        let problems = problems(&limits(entry));
        let found =
            problems.iter().any(|problem| problem.starts_with("demo.yaml:19: ") && problem.contains(message));
        assert!(found, "{entry}: {problems:?}");
    }
    let twice = format!("{}- {{ owner: ops, concurrency: 2 }}\n", limits("{ owner: ops, concurrency: 1 }"));
    let problems = problems(&twice);
    assert_eq!(problems, ["demo.yaml:20: limits[1].owner: owner:ops is limited already at demo.yaml:19"]);
}
