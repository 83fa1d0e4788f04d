//! The present, as the database has it.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use metrics::{counter, gauge};
use shared::compliance::{Answer, Rule};
use shared::db::backlog::Backlog;
use shared::db::compliance::JobVerdicts;
use shared::db::worker::{PoolUse, Worker};
use shared::db::{Error, PoolStatus, compliance, dead_task, notification, partition};
use shared::task::TaskKind;

use super::{
    BUILD_INFO, COMPLIANCE, DATABASE_CONNECTIONS, DATABASE_EXHAUSTED, DATABASE_WAITING,
    DEFAULT_PARTITION_ROWS, JOBS, JOBS_COMPLIANT, NOTIFICATIONS_AGE, NOTIFICATIONS_WAITING, OUTBOX_AGE,
    OUTBOX_DUE, POOL_BUSY, POOL_SLOTS, TASKS_DEAD, TASKS_RUNNING, TASKS_WAITING, VERDICTS, WORKERS,
};

/// Sets what is known without asking anybody.
pub(super) fn set_process(pool: PoolStatus) {
    gauge!(BUILD_INFO, "program" => "reporter", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(DATABASE_CONNECTIONS, "state" => "busy").set((pool.size - pool.available) as f64);
    gauge!(DATABASE_CONNECTIONS, "state" => "free").set(pool.available as f64);
    gauge!(DATABASE_WAITING).set(pool.waiting as f64);
    counter!(DATABASE_EXHAUSTED).absolute(pool.exhausted);
}

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
            gauge!(COMPLIANCE, "job" => job.job.clone(), "rule" => rule.as_str()).set(passes);
        }
    }
}
