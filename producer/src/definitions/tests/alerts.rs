//! How strict rules are, and when nobody is told.

use shared::alert::{Rule, Setting, Severity};

use super::*;

#[test]
fn settings_of_rules_reach_their_place_for_all_and_for_a_job() {
    let job = format!(
        "{TARGET}{JOB}  tags: [web, customers]\n  alerts: {{ no_recent_backup: {{ enabled: false }} }}\n"
    );
    let alerts = "alerts:
  success_rate: { severity: critical, for: 5m, cooldown: 1h, below: 0.9, tasks: 20 }
  task_stuck: { after: 3h, waiting: 0s }
maintenance:
- { name: night, cron: \"0 1 * * 0\", for: 4h, timezone: Europe/Berlin, matches: [{ job: docs, rule: backup_failed }] }
";
    let (definitions, problems) = read(&[("jobs.yaml", &job), ("alerts.yaml", alerts)]);
    assert_eq!(problems, [""; 0]);
    let minutes = |minutes| Some(Duration::from_mins(minutes));
    let success_rate = Setting {
        severity: Some(Severity::Critical),
        pending: minutes(5),
        cooldown: minutes(60),
        below: Some(0.9),
        tasks: Some(20),
        ..Setting::default()
    };
    let task_stuck = Setting { after: minutes(180), waiting: minutes(0), ..Setting::default() };
    assert_eq!(definitions.alerts, [(Rule::SuccessRate, success_rate), (Rule::TaskStuck, task_stuck)]);
    let job = &definitions.jobs[0].job;
    let own = Setting { enabled: Some(false), ..Setting::default() };
    assert_eq!(job.alerts, [(Rule::NoRecentBackup, own)].into());
    assert_eq!(job.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["web", "customers"]);
    let window = &definitions.maintenance[0];
    assert_eq!((window.lasts, window.timezone), (Duration::from_hours(4), Tz::Europe__Berlin));
    assert_eq!(window.matches[0].rule, Some(Rule::BackupFailed));
}

#[test]
fn each_bad_setting_is_reported_with_file_line_and_field() {
    for (alerts, message) in [
        ("mood: {}", "alerts.mood: is unknown, use one of: backup_failed, "),
        ("backup_failed: 7", "alerts.backup_failed: is a number, a mapping is needed"),
        (
            "backup_failed: { failures: 2 }",
            "alerts.backup_failed.failures: is unknown, use one of: enabled, severity, for, cooldown",
        ),
        ("backup_failed: { severity: bad }", "alerts.backup_failed.severity: \"bad\" is unknown"),
        ("backup_failed: { for: 5 }", "alerts.backup_failed.for: has no unit"),
        ("backup_failed: { cooldown: 31d }", "alerts.backup_failed.cooldown: is longer than 30d"),
        ("backups_failing: { failures: 0 }", "alerts.backups_failing.failures: is not from 1 to 100"),
        ("success_rate: { below: 95 }", "alerts.success_rate.below: is not above 0 and up to 1"),
        ("success_rate: { tasks: 0 }", "alerts.success_rate.tasks: is not from 1 to 10000"),
        ("size_unusual: { spreads: 0.5 }", "alerts.size_unusual.spreads: is not from 1 to 1000"),
        ("size_unusual: { shrunk_to: 1 }", "alerts.size_unusual.shrunk_to: is not from 0 to less than 1"),
    ] {
        let problems = problems(&format!("{TARGET}{JOB}alerts:\n  {alerts}\n"));
        let found =
            problems.iter().any(|problem| problem.starts_with("demo.yaml:19: ") && problem.contains(message));
        assert!(found, "{alerts}: {problems:?}");
    }
}

#[test]
fn each_bad_window_is_reported_with_file_line_and_field() {
    let cron = "cron: \"@daily\"";
    for (entry, message) in [
        (format!("{{ name: n, {cron} }}"), "maintenance.n.for: is missing"),
        (format!("{{ name: n, {cron}, for: 8d }}"), "maintenance.n.for: is longer than 7d"),
        ("{ name: n, cron: x, for: 1h }".to_owned(), "maintenance.n.cron: \"x\" is no cron expression"),
        (
            format!("{{ name: n, {cron}, for: 1h, matches: [{{}}] }}"),
            "maintenance.n.matches: needs one of job, ",
        ),
        (
            format!("{{ name: n, {cron}, for: 1h, matches: [{{ job: nobody }}] }}"),
            "maintenance.n.matches.job: no job is named \"nobody\"",
        ),
        (
            format!("{{ name: n, {cron}, for: 1h, matches: [{{ target: nowhere }}] }}"),
            "maintenance.n.matches.target: no target is named \"nowhere\"",
        ),
    ] {
        let problems = problems(&format!("{TARGET}{JOB}maintenance:\n- {entry}\n"));
        let found =
            problems.iter().any(|problem| problem.starts_with("demo.yaml:19: ") && problem.contains(message));
        assert!(found, "{entry}: {problems:?}");
    }
}

#[test]
fn what_is_said_of_a_job_is_about_jobs_and_no_tag_stands_there_twice() {
    let own = problems(&format!("{TARGET}{JOB}  alerts: {{ backlog: {{ after: 2h }} }}\n"));
    assert!(
        own[0].starts_with("demo.yaml:18: jobs.docs.alerts.backlog: is unknown, use one of: "),
        "{own:?}"
    );
    let tags = problems(&format!("{TARGET}{JOB}  tags: [web, web]\n"));
    assert_eq!(tags, ["demo.yaml:18: jobs.docs.tags: web stands there twice"]);
}

#[test]
fn a_rule_is_set_once() {
    let alerts = "alerts: { backlog: { after: 2h } }\n";
    let (_, problems) = read(&[("a.yaml", alerts), ("b.yaml", alerts)]);
    assert_eq!(problems, ["b.yaml:1: alerts.backlog: is set already at a.yaml:1"]);
}
