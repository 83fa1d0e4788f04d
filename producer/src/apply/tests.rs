use chrono::DateTime;
use proptest::prelude::*;
use shared::db::job::StoredJob;
use shared::db::target::StoredTarget;
use shared::job::JobId;
use shared::target::{TargetId, TargetState};
use shared::task::TaskKind;
use shared::work::Work;

use super::*;
use crate::definitions::{Upkeep, any};

/// What is stored once definitions are applied.
fn applied(definitions: &Definitions) -> Stored {
    let target = |target: &shared::target::Target| StoredTarget {
        id: TargetId(1),
        target: through_json(target),
        state: TargetState::Attached,
        removed: false,
        repository_id: None,
        version: 1,
        changed_at: shared::clock::now(),
    };
    let job = |DefinedJob { job, .. }: &DefinedJob| {
        let active = job.active;
        StoredJob {
            id: JobId(1),
            job: through_json(job),
            active,
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
        }
    };
    let targets = definitions.targets.iter().map(|defined| (defined.name.clone(), target(defined)));
    let jobs = definitions.jobs.iter().map(|defined| (defined.job.name.clone(), job(defined)));
    let limits = definitions.limits.iter().map(|(key, limit)| (key.clone(), through_json(limit)));
    let reports = definitions.reports.iter().map(|report| (report.name.clone(), report.clone()));
    let upkeep = definitions.upkeep.iter().map(|upkeep| {
        let params = through_json::<serde_json::Value>(&serde_json::json!(upkeep.params()));
        let Ok(Work::Maintain(params)) = Work::parse(TaskKind::Maintain, params) else {
            panic!("{upkeep:?}")
        };
        let read = Upkeep::of(upkeep.name.clone(), params, upkeep.schedule.clone()).unwrap();
        (upkeep.name.clone(), read)
    });
    let alerts = definitions.alerts.iter().map(|(rule, setting)| (*rule, through_json(setting)));
    let maintenance =
        definitions.maintenance.iter().map(|window| (window.name.clone(), through_json(window)));
    let channels = definitions.channels.iter().map(|channel| (channel.name.clone(), through_json(channel)));
    let routes = definitions.routes.iter().map(|route| (route.name.clone(), through_json(route)));
    Stored {
        targets: targets.collect(),
        jobs: jobs.collect(),
        limits: limits.collect(),
        reports: reports.collect(),
        upkeep: upkeep.collect(),
        alerts: alerts.collect(),
        maintenance: maintenance.collect(),
        channels: channels.collect(),
        routes: routes.collect(),
    }
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn read(text: &str) -> Definitions {
    let mut definitions = Definitions::default();
    definitions.add("demo.yaml", text);
    definitions
}

fn problems_of(text: &str, stored: &Stored, prune: bool) -> Vec<String> {
    let definitions = read(text);
    let removals = if prune { Removals::unnamed(&definitions, stored) } else { Removals::default() };
    problems(&definitions, &removals, stored).iter().map(ToString::to_string).collect()
}

const TARGETS: &str = "targets:
- { name: disk-a, repository: /backups/a, password: { env: A }, media: disk, site: hq, failure_domain: a }
";

const JOBS: &str = "jobs:
- name: docs
  owner: ops
  source: { kind: files, paths: [/srv], media: disk, site: hq, failure_domain: host-1 }
  targets: [disk-a]
";

#[test]
fn what_is_applied_already_counts_unless_it_is_defined_anew() {
    let stored = applied(&read(TARGETS));
    assert_eq!(problems_of(JOBS, &stored, false), [""; 0]);
    assert_eq!(problems_of(TARGETS, &stored, false), [""; 0]);
    let other = TARGETS.replace("disk-a", "disk-b");
    let taken = "demo.yaml:2: targets.disk-b.repository: is the same as that of target disk-a, which is applied already";
    assert_eq!(problems_of(&other, &stored, false), [taken]);
    assert_eq!(problems_of(&other, &stored, true), [""; 0]);
}

#[test]
fn a_target_that_jobs_use_cannot_be_removed_and_the_error_names_them() {
    let stored = applied(&read(&format!("{TARGETS}{JOBS}")));
    let used = "targets.disk-a: cannot be removed while jobs use it: docs";
    assert_eq!(problems_of(JOBS, &stored, true), [used]);
    assert_eq!(problems_of("{}", &stored, true), [""; 0]);
    let removals = Removals { targets: ["disk-a".parse().unwrap()].into(), ..Removals::default() };
    let alone = problems(&Definitions::default(), &removals, &stored);
    assert_eq!(alone.iter().map(ToString::to_string).collect::<Vec<_>>(), [used]);
}

#[test]
fn a_job_that_is_wrong_is_not_taken_for_one_that_is_to_be_removed() {
    let stored = applied(&read(&format!("{TARGETS}{JOBS}")));
    let wrong = format!("{TARGETS}{}", JOBS.replace("owner: ops", "owner: 7"));
    let removals = Removals::unnamed(&read(&wrong), &stored);
    assert!(removals.jobs.is_empty() && removals.targets.is_empty(), "{removals:?}");
}

#[test]
fn a_limit_that_is_stored_may_outlive_the_jobs_that_it_was_for() {
    let limits = "limits: [{ owner: ops, concurrency: 1 }]\n";
    let with_job = applied(&read(&format!("{TARGETS}{JOBS}{limits}")));
    let without_job = Stored { jobs: std::collections::BTreeMap::new(), ..with_job };
    assert_eq!(problems_of(limits, &without_job, false), [""; 0]);
    let new = problems_of(limits, &Stored::default(), false);
    assert_eq!(new, ["demo.yaml:1: limits[0].owner: no job has this owner"]);
}

/// The rule and the field of each warning about `docs` with some fields more.
fn warned(fields: &str) -> Vec<String> {
    let definitions = read(&format!("{TARGETS}{JOBS}{fields}"));
    assert_eq!(definitions.problems.clone().into_sorted(), Vec::new());
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let warnings = warnings::of(&definitions, &Stored::default(), now).into_iter();
    let others = warnings.filter(|warning| ["rpo", "verify"].contains(&warning.rule));
    others.map(|warning| format!("{}: {}", warning.origin, warning.message)).collect()
}

#[test]
fn alerts_that_would_be_told_to_nobody_are_warned_of_where_that_is_said() {
    let warned = |text: &str| {
        let definitions = read(text);
        assert_eq!(definitions.problems.clone().into_sorted(), Vec::new());
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let warnings = warnings::of(&definitions, &Stored::default(), now).into_iter();
        warnings.map(|warning| format!("{}: {}", warning.origin, warning.message)).collect::<Vec<_>>()
    };
    let window = |cron: &str, rest: &str| {
        warned(&format!("maintenance:\n- {{ name: night, cron: \"{cron}\", for: 4h{rest} }}\n"))
    };
    let ever = "demo.yaml:2: maintenance.night: it begins again before it ends, and has no `matches`: nobody is ever told of any alert";
    assert_eq!(window("0 * * * *", ""), [ever]);
    assert_eq!(window("0 */4 * * *", ""), [ever]);
    assert_eq!(window("0 */5 * * *", ""), [""; 0]);
    assert_eq!(window("0 * * * *", ", matches: [{ rule: backup_failed }]"), [""; 0]);
    let channel = "channels:\n- { name: chat, kind: slack, url: { env: CHAT } }\n- { name: alive, kind: heartbeat, url: { env: PING }, every: 1m }\n";
    let idle = "demo.yaml:2: channels.chat: no route leads to it: nobody is told anything by it";
    assert_eq!(warned(channel), [idle]);
    assert_eq!(warned(&format!("{channel}routes:\n- {{ name: all, channels: [chat] }}\n")), [""; 0]);
}

#[test]
fn an_objective_that_passes_between_two_backups_is_warned_of_where_it_stands() {
    let lie = |rpo: &str, gap: &str| {
        format!("the newest restore point may be {rpo} old, but up to {gap} lie between two backups")
    };
    let workdays = "  schedule: { cron: \"0 2 * * 1-5\" }\n";
    let at_rpo = format!("demo.yaml:9: jobs.docs.rpo: {}", lie("2days", "3days"));
    assert_eq!(warned(&format!("{workdays}  rpo: 2d\n")), [at_rpo]);
    assert_eq!(warned(&format!("{workdays}  rpo: 73h\n")), [""; 0]);
    let by_default = format!("demo.yaml:8: jobs.docs.schedule: {}", lie("26h", "3days"));
    assert_eq!(warned(workdays), [by_default]);
    assert_eq!(warned("  schedule: { every: 26h }\n").len(), 1, "a backup takes a while");
}

#[test]
fn a_job_without_a_schedule_is_warned_of_only_where_an_objective_was_written() {
    let nothing = "demo.yaml:8: jobs.docs.rpo: nothing backs it up by itself: give it a schedule, or say `schedule: manual`";
    assert_eq!(warned("  rpo: 1d\n"), [nothing]);
    assert_eq!(warned("  rpo: 1d\n  schedule: manual\n"), [""; 0]);
    assert_eq!(warned(""), [""; 0]);
    assert_eq!(warned("  rpo: 1d\n  active: false\n"), [""; 0]);
}

#[test]
fn a_window_that_passes_between_two_checks_is_warned_of_unless_backups_bring_some_sooner() {
    let monthly = |windows: &str| {
        format!(
            "  verify: {{ {windows}, schedule: {{ read: {{ cron: \"0 5 1 * *\" }}, structure: {{ every: 2d }} }} }}\n"
        )
    };
    let read = "demo.yaml:8: jobs.docs.verify.read: a read check may be 7days old, but up to 31days lie between two of them";
    assert_eq!(warned(&monthly("read: 7d")), [read]);
    let structure = "demo.yaml:8: jobs.docs.verify.structure: a structure check may be 1day old, but up to 2days lie between two of them";
    assert_eq!(warned(&monthly("read: 7d, structure: 1d")), [read, structure]);
    // A check is due after 80 % of its window and comes with the next backup: 6 days after the last one.
    let daily = "  schedule: { cron: \"0 2 * * *\" }\n";
    assert_eq!(warned(&format!("{}{daily}", monthly("read: 7d"))), [""; 0]);
    let weekly = "  schedule: { cron: \"0 2 * * 0\" }\n  rpo: 8d\n";
    assert_eq!(warned(&format!("{}{weekly}", monthly("read: 10d"))).len(), 1);
    assert_eq!(warned(&format!("  verify: {{ read: 15d }}\n{weekly}")), [""; 0]);
}

fn unchanged(text: &str, stored: &Stored) -> Result<(), TestCaseError> {
    let again = read(text);
    let removals = Removals::unnamed(&again, stored);
    prop_assert_eq!(problems(&again, &removals, stored), Vec::new(), "{}", text);
    let plan = Plan::compare(&again, stored);
    let kept = |change: &Change| *change == Change::Unchanged;
    prop_assert!(plan.targets.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.targets, text);
    prop_assert!(plan.jobs.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.jobs, text);
    prop_assert!(plan.limits.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.limits, text);
    prop_assert!(plan.reports.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.reports, text);
    prop_assert!(plan.upkeep.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.upkeep, text);
    prop_assert!(plan.alerts.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.alerts, text);
    let windows = &plan.maintenance;
    prop_assert!(windows.iter().all(|(_, change)| kept(change)), "{:?}\n{}", windows, text);
    prop_assert!(plan.channels.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.channels, text);
    prop_assert!(plan.routes.iter().all(|(_, change)| kept(change)), "{:?}\n{}", plan.routes, text);
    let Removals { jobs, targets, limits, reports, upkeep, alerts, maintenance, channels, routes } = removals;
    let removed = [targets.len(), jobs.len(), limits.len(), reports.len(), alerts.len(), maintenance.len()];
    prop_assert_eq!(removed, [0; 6], "{}", text);
    prop_assert_eq!([channels.len(), routes.len(), upkeep.len()], [0; 3], "{}", text);
    Ok(())
}

proptest! {
    #[test]
    fn what_is_exported_is_taken_back_as_it_is_stored(file in any::file()) {
        let definitions = read(&written::json(&file).unwrap());
        let found = problems(&definitions, &Removals::default(), &Stored::default());
        prop_assert_eq!(found, Vec::new(), "{}", file);
        let stored = applied(&definitions);
        unchanged(&written::json(&file).unwrap(), &stored)?;
        let exported = stored.written();
        unchanged(&written::yaml(&exported).unwrap(), &stored)?;
        unchanged(&written::json(&exported).unwrap(), &stored)?;
    }
}
