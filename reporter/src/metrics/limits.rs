//! What is held back: by limits, by targets that fail, by people who paused schedules.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use metrics::gauge;
use shared::db::{Error, cap, line, schedule, target, target_health};
use shared::limit::Key;
use shared::metric;
use shared::metric::Metric;

metric!(IN_LINE: Metric::gauge(
    "holdfast_tasks_in_line", &["scope"],
    "Tasks that wait because a limit does not let them start, by what is limited: pool, target, \
     source or owner"
));
metric!(LIMITS_FULL: Metric::gauge(
    "holdfast_limits_full", &["scope"],
    "Limits on how many tasks run at once that are used up, by what is limited"
));
metric!(TARGETS: Metric::gauge(
    "holdfast_targets", &["state"], "Targets, by whether their last operations failed: ok or failing"
));
metric!(SCHEDULES: Metric::gauge(
    "holdfast_schedules", &["state"], "Schedules, by whether they are active or paused"
));

const SCOPES: [&str; 4] = ["pool", "target", "source", "owner"];

/// Sets every scope and state, so that one with nothing left falls to zero.
pub(super) async fn set<C: GenericClient>(client: &C) -> Result<(), Error> {
    let (mut waiting, mut full) = (BTreeMap::<&str, i64>::new(), BTreeMap::<&str, usize>::new());
    for line in line::waiting(client).await? {
        *waiting.entry(scope(&line.key)).or_default() += line.tasks;
    }
    for cap in cap::all(client).await?.iter().filter(|cap| cap.room() == 0) {
        *full.entry(scope(&cap.key)).or_default() += 1;
    }
    for scope in SCOPES {
        gauge!(IN_LINE, "scope" => scope).set(waiting.get(scope).copied().unwrap_or_default() as f64);
        gauge!(LIMITS_FULL, "scope" => scope).set(full.get(scope).copied().unwrap_or_default() as f64);
    }
    let (failing, all) = (target_health::failing(client).await?.len(), target::names(client).await?.len());
    gauge!(TARGETS, "state" => "failing").set(failing as f64);
    gauge!(TARGETS, "state" => "ok").set(all.saturating_sub(failing) as f64);
    let counts = schedule::counts(client).await?;
    gauge!(SCHEDULES, "state" => "active").set(counts.active as f64);
    gauge!(SCHEDULES, "state" => "paused").set(counts.paused as f64);
    Ok(())
}

const fn scope(key: &Key) -> &'static str {
    match key {
        Key::Pool(_) => "pool",
        Key::Target(_) => "target",
        Key::Source(_) => "source",
        Key::Owner(_) => "owner",
    }
}
