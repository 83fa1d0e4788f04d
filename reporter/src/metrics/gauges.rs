//! The present, as the database has it.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use metrics::gauge;
use shared::compliance::{Answer, Rule};
use shared::db::backlog::Backlog;
use shared::db::compliance::JobVerdicts;
use shared::db::worker::{PoolUse, Worker};
use shared::db::{Error, compliance, dead_task, notification, partition};
use shared::task::TaskKind;

use super::notifications::{NOTIFICATIONS_AGE, NOTIFICATIONS_WAITING};
use shared::metric;
use shared::metric::Metric;

metric!(TASKS_WAITING: Metric::gauge(
    "holdfast_tasks_waiting", &["kind"], "Tasks that wait in the database, whatever for, by kind"
));
metric!(OUTBOX_DUE: Metric::gauge(
    "holdfast_outbox_due", &["kind"],
    "Of the tasks that wait in the database, those whose time has come and that the broker has not \
     confirmed, by kind"
));
metric!(OUTBOX_AGE: Metric::gauge(
    "holdfast_outbox_age_seconds", &["kind"],
    "For how long the oldest task of holdfast_outbox_due could have been published, by kind; 0 \
     without any. It grows while the broker is away, blocks its publishers or has a full queue, and \
     while no producer runs"
));
metric!(TASKS_RUNNING: Metric::gauge(
    "holdfast_tasks_running", &["kind"], "Tasks that run, by kind"
));
metric!(TASKS_DEAD: Metric::gauge(
    "holdfast_tasks_dead", &[], "Tasks that will not be tried again by themselves"
));
metric!(WORKERS: Metric::gauge(
    "holdfast_workers", &[], "Workers that were heard of in the last minute"
));
metric!(POOL_SLOTS: Metric::gauge(
    "holdfast_pool_slots", &["kind"], "How many tasks all workers can run at once, by kind"
));
metric!(POOL_BUSY: Metric::gauge(
    "holdfast_pool_busy", &["kind"], "How many slots of all workers are in use, by kind"
));
metric!(JOBS: Metric::gauge(
    "holdfast_jobs", &[], "Active jobs"
));
metric!(JOBS_COMPLIANT: Metric::gauge(
    "holdfast_jobs_compliant", &[], "Active jobs that keep all five rules"
));
metric!(VERDICTS: Metric::gauge(
    "holdfast_verdicts", &["rule", "answer"], "Active jobs, by rule and the rule's answer"
));
metric!(COMPLIANCE: Metric::gauge(
    "holdfast_compliance", &["job_name", "rule"],
    "Whether a job keeps a rule: 1 on pass and warning, 0 on fail and unknown"
));
metric!(DEFAULT_PARTITION_ROWS: Metric::gauge(
    "holdfast_default_partition_rows", &[], "Rows that found no partition of their month"
));

/// Sets what the database knows; at most `job_series` jobs get series of their own.
pub(super) async fn set<C: GenericClient>(client: &C, job_series: usize) -> Result<(), Error> {
    gauge!(TASKS_DEAD).set(dead_task::count(client).await? as f64);
    gauge!(DEFAULT_PARTITION_ROWS).set(partition::rows_in_default(client).await? as f64);
    let (waiting, age) = notification::waiting(client).await?;
    gauge!(NOTIFICATIONS_WAITING).set(waiting as f64);
    gauge!(NOTIFICATIONS_AGE).set(age);
    set_compliance(compliance::verdicts(client, None).await?, job_series);
    Ok(())
}

/// Sets every kind, so that one with nothing left falls to zero.
pub(super) fn set_backlog(backlog: &BTreeMap<TaskKind, Backlog>) {
    for kind in TaskKind::ALL {
        let Backlog { waiting, unpublished, oldest_unpublished, running, .. } =
            backlog.get(kind).copied().unwrap_or_default();
        gauge!(TASKS_WAITING, "kind" => kind.as_str()).set(waiting as f64);
        gauge!(OUTBOX_DUE, "kind" => kind.as_str()).set(unpublished as f64);
        gauge!(OUTBOX_AGE, "kind" => kind.as_str()).set(oldest_unpublished.unwrap_or_default());
        gauge!(TASKS_RUNNING, "kind" => kind.as_str()).set(running as f64);
    }
}

/// Sets what the workers say about themselves.
pub(super) fn set_workers(workers: &[Worker]) {
    gauge!(WORKERS).set(workers.len() as f64);
    for kind in TaskKind::ALL {
        let pools: Vec<&PoolUse> = workers.iter().filter_map(|worker| worker.pools.get(kind)).collect();
        let sum = |part: fn(&PoolUse) -> usize| pools.iter().map(|pool| part(pool)).sum::<usize>() as f64;
        gauge!(POOL_SLOTS, "kind" => kind.as_str()).set(sum(|pool| pool.slots));
        gauge!(POOL_BUSY, "kind" => kind.as_str()).set(sum(|pool| pool.busy));
    }
}

fn set_compliance(mut jobs: Vec<JobVerdicts>, job_series: usize) {
    gauge!(JOBS).set(jobs.len() as f64);
    gauge!(JOBS_COMPLIANT).set(jobs.iter().filter(|job| job.compliant).count() as f64);
    for &rule in Rule::ALL {
        for &wanted in Answer::ALL {
            let count = jobs.iter().filter(|job| job.answer(rule) == wanted).count();
            gauge!(VERDICTS, "rule" => rule.as_str(), "answer" => wanted.as_str()).set(count as f64);
        }
    }
    // Where not all can be shown, those that need attention are.
    jobs.sort_by_key(|job| job.compliant);
    for job in jobs.iter().take(job_series) {
        for &rule in Rule::ALL {
            let passes = f64::from(u8::from(job.answer(rule).passes()));
            gauge!(COMPLIANCE, "job_name" => job.job.clone(), "rule" => rule.as_str()).set(passes);
        }
    }
}
