//! What is measured: names, meanings, and the loop that looks.
//!
//! Counters count executions and batches since the database began, so far as it remembers; a restart of the
//! reporter begins them again. Gauges describe the present. One that is not set any more, because its job is gone
//! or the database does not answer, disappears after three refreshes instead of keeping its last value.

pub mod queues;

mod alerts;
mod batches;
mod executions;
mod figures;
mod gauges;
mod http;
mod pools;
mod pressure;

use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusHandle};
use metrics_util::MetricKindMask;
use shared::db::{Database, Error, backlog, statement, worker};
use shared::scrape;
use tokio_util::sync::CancellationToken;

use tokio::sync::watch;

pub(crate) use alerts::count_transition;
pub use pressure::{OfKind, Pressure};

use crate::events;
use queues::Reach;

const EXECUTIONS: &str = "holdfast_executions_total";
const EXECUTION_DURATION: &str = "holdfast_execution_duration_seconds";
const EXECUTION_BYTES: &str = "holdfast_execution_bytes_total";
const SUCCESS_RATE: &str = "holdfast_success_rate";
const THROUGHPUT: &str = "holdfast_backup_throughput_bytes_per_second";
const STORAGE_GROWTH: &str = "holdfast_storage_growth_bytes";
const DEDUP_RATIO: &str = "holdfast_dedup_ratio";
const COMPLIANCE_RATE: &str = "holdfast_compliance_rate";
const ROLLUP_BEHIND: &str = "holdfast_rollup_behind_seconds";
const TASKS_WAITING: &str = "holdfast_tasks_waiting";
const OUTBOX_DUE: &str = "holdfast_outbox_due";
const OUTBOX_AGE: &str = "holdfast_outbox_age_seconds";
const TASKS_RUNNING: &str = "holdfast_tasks_running";
const TASKS_DEAD: &str = "holdfast_tasks_dead";
const QUEUE_MESSAGES: &str = "holdfast_queue_messages";
const WORKERS: &str = "holdfast_workers";
const POOL_SLOTS: &str = "holdfast_pool_slots";
const POOL_BUSY: &str = "holdfast_pool_busy";
const POOL_WAITING: &str = "holdfast_pool_waiting";
const POOL_ARRIVALS: &str = "holdfast_pool_arrivals_per_second";
const POOL_COMPLETIONS: &str = "holdfast_pool_completions_per_second";
const POOL_NEEDED: &str = "holdfast_pool_slots_needed";
const POOL_DRAIN: &str = "holdfast_pool_drain_seconds";
const BATCHES: &str = "holdfast_batches_total";
const BATCH_TASKS: &str = "holdfast_batch_tasks_total";
const WORKER_EVENTS: &str = "holdfast_worker_events_total";
const DATABASE_EXHAUSTED: &str = "holdfast_database_exhausted_total";
const JOBS: &str = "holdfast_jobs";
const JOBS_COMPLIANT: &str = "holdfast_jobs_compliant";
const VERDICTS: &str = "holdfast_verdicts";
const COMPLIANCE: &str = "holdfast_compliance";
const DATABASE_CONNECTIONS: &str = "holdfast_database_connections";
const DATABASE_WAITING: &str = "holdfast_database_waiting";
const DEFAULT_PARTITION_ROWS: &str = "holdfast_default_partition_rows";
const ALERTS: &str = "holdfast_alerts";
const ALERTS_SUPPRESSED: &str = "holdfast_alerts_suppressed";
const ALERT_TRANSITIONS: &str = "holdfast_alert_transitions_total";
const ALERT_EVALUATION_AGE: &str = "holdfast_alert_evaluation_age_seconds";
const ALERT_EVALUATION: &str = "holdfast_alert_evaluation_seconds";
pub(crate) const NOTIFICATIONS: &str = "holdfast_notifications_total";
const NOTIFICATIONS_WAITING: &str = "holdfast_notifications_waiting";
const NOTIFICATIONS_AGE: &str = "holdfast_notifications_age_seconds";
pub(crate) const HEARTBEATS: &str = "holdfast_heartbeats_total";
pub(crate) const PIPELINE_WORKS: &str = "holdfast_pipeline_works";
pub(crate) const HTTP_REQUESTS: &str = "holdfast_http_requests_total";
pub(crate) const HTTP_REQUEST: &str = "holdfast_http_request_seconds";
pub(crate) const HTTP_STATEMENTS: &str = "holdfast_http_statements_total";
pub(crate) const CACHE_REQUESTS: &str = "holdfast_cache_requests_total";
pub(crate) const CACHE_REDIS_UP: &str = "holdfast_cache_redis_up";
pub(crate) const REPLICA_LAG: &str = "holdfast_replica_lag_seconds";
pub(crate) const REPLICA_USED: &str = "holdfast_replica_used";
const BUILD_INFO: &str = "holdfast_build_info";

/// The upper ends of the classes of duration, in seconds: from a small task to a backup that takes a day.
const DURATIONS: [f64; 20] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0,
    7_200.0, 14_400.0, 43_200.0, 86_400.0,
];
/// The upper ends of the classes of how long a request takes, in seconds: from an answer that is kept to the time limit.
const REQUESTS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0];
/// A gauge that was not set for so many refreshes describes nothing any more.
const STALE_REFRESHES: u32 = 3;

/// How metrics are collected.
#[derive(Debug, Clone)]
pub struct Collection {
    /// How often the database is looked at.
    pub refresh: Duration,
    /// How many jobs get series of their own.
    pub job_series: usize,
}

/// Makes this process measure; to be called once a process.
///
/// # Errors
/// It was called before.
pub fn install(refresh: Duration) -> anyhow::Result<PrometheusHandle> {
    let handle = scrape::recorder()?
        .set_buckets_for_metric(Matcher::Full(EXECUTION_DURATION.to_owned()), &DURATIONS)?
        .set_buckets_for_metric(Matcher::Full(HTTP_REQUEST.to_owned()), &REQUESTS)?
        .idle_timeout(MetricKindMask::GAUGE, Some(refresh * STALE_REFRESHES))
        .install_recorder()?;
    describe();
    describe_notifications();
    statement::describe();
    http::describe();
    Ok(handle)
}

/// Looks at the database again and again until `stop`, and says to `pressure` what it sees of the pools.
pub async fn collect(
    database: &Database,
    handle: &PrometheusHandle,
    collection: &Collection,
    broker: &Reach,
    pressure: &watch::Sender<Option<Pressure>>,
    stop: &CancellationToken,
) {
    let mut seen = Seen::default();
    let mut every = tokio::time::interval(collection.refresh);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        let looked = tokio::select! {
            looked = look(database, handle, collection, broker, &mut seen) => looked,
            () = stop.cancelled() => return,
        };
        match looked {
            Ok(seen) => _ = pressure.send_replace(seen),
            Err(error) => events::collecting_failed(&error),
        }
    }
}

/// What one look hands to the next.
#[derive(Default)]
struct Seen {
    executions: executions::Tail,
    batches: batches::Batches,
    pools: pools::Pools,
    figures: figures::Figures,
}

async fn look(
    database: &Database,
    handle: &PrometheusHandle,
    collection: &Collection,
    broker: &Reach,
    seen: &mut Seen,
) -> Result<Option<Pressure>, Error> {
    gauges::set_process(database.status());
    let client = database.client().await?;
    seen.executions.follow(&client, handle).await?;
    // One right after the other: what is in a queue now is in a table a moment later.
    let depths = broker.depths().await;
    let backlog = backlog::by_kind(&client).await?;
    let workers = worker::present(&client).await?;
    gauges::set_backlog(&backlog);
    gauges::set_workers(&workers);
    seen.batches.count(&workers);
    let ended = seen.executions.take_ended();
    let pressure = seen.pools.look(&client, &backlog, &workers, depths.as_ref(), ended).await?;
    seen.figures.look(&client).await?;
    gauges::set(&client, collection.job_series).await?;
    alerts::set(&client).await?;
    Ok(pressure)
}

fn describe() {
    let count = Unit::Count;
    describe_counter!(EXECUTIONS, count, "Finished attempts, by kind of task and outcome");
    describe_histogram!(
        EXECUTION_DURATION,
        Unit::Seconds,
        "How long finished attempts took, by kind of task"
    );
    describe_counter!(
        EXECUTION_BYTES,
        Unit::Bytes,
        "Bytes of the sources of finished attempts, by kind of task"
    );
    figures::describe();
    describe_gauge!(TASKS_WAITING, count, "Tasks that wait in the database, whatever for, by kind");
    describe_gauge!(
        OUTBOX_DUE,
        count,
        "Of the tasks that wait in the database, those whose time has come and that the broker has not confirmed, by kind"
    );
    describe_gauge!(
        OUTBOX_AGE,
        Unit::Seconds,
        "For how long the oldest task of holdfast_outbox_due could have been published, by kind; 0 without any. It grows \
         while the broker is away, blocks its publishers or has a full queue, and while no producer runs"
    );
    describe_gauge!(TASKS_RUNNING, count, "Tasks that run, by kind");
    describe_gauge!(TASKS_DEAD, count, "Tasks that will not be tried again by themselves");
    describe_gauge!(QUEUE_MESSAGES, count, "Messages that are ready in a queue of the broker");
    describe_gauge!(WORKERS, count, "Workers that were heard of in the last minute");
    describe_gauge!(POOL_SLOTS, count, "How many tasks all workers can run at once, by kind");
    describe_gauge!(POOL_BUSY, count, "How many slots of all workers are in use, by kind");
    describe_gauge!(
        POOL_WAITING,
        count,
        "Tasks that wait for a slot of their pool and for nothing else, in queues and in the database, by kind"
    );
    describe_gauge!(
        POOL_ARRIVALS,
        Unit::CountPerSecond,
        "Tasks that come to wait for a slot, averaged over the last minute, by kind"
    );
    describe_gauge!(
        POOL_COMPLETIONS,
        Unit::CountPerSecond,
        "Attempts that end, averaged over the last minute, by kind"
    );
    describe_gauge!(
        POOL_NEEDED,
        count,
        "Slots that are needed, by kind: those in which tasks run, and as many more as have all that waits begin within five \
         minutes, at most one for each task; none for what the pool's own limits or a pause hold back"
    );
    describe_gauge!(
        POOL_DRAIN,
        Unit::Seconds,
        "In how long the last task that waits now has begun, with the slots that there are, by kind; infinite without any"
    );
    describe_counter!(BATCHES, count, "Transactions of workers, by stage");
    describe_counter!(BATCH_TASKS, count, "Tasks in transactions of workers, by stage");
    describe_counter!(
        WORKER_EVENTS,
        count,
        "What workers count: results discarded because the task had another owner (discarded), attempts that lost \
         their lease (fenced), tasks that ran alone (quarantined), consumers that had silently gone (consumers_lost), \
         callers that found no database connection in time (pool_exhausted)"
    );
    describe_counter!(
        DATABASE_EXHAUSTED,
        count,
        "Callers in this process that found no connection to the database in time"
    );
    describe_gauge!(JOBS, count, "Active jobs");
    describe_gauge!(JOBS_COMPLIANT, count, "Active jobs that keep all five rules");
    describe_gauge!(VERDICTS, count, "Active jobs, by rule and the rule's answer");
    describe_gauge!(COMPLIANCE, "Whether a job keeps a rule: 1 on pass and warning, 0 on fail and unknown");
    describe_gauge!(DATABASE_CONNECTIONS, count, "Connections of this process to the database, by state");
    describe_gauge!(
        DATABASE_WAITING,
        count,
        "Callers in this process that wait for a connection to the database"
    );
    describe_gauge!(DEFAULT_PARTITION_ROWS, count, "Rows that found no partition of their month");
    describe_gauge!(
        ALERTS,
        count,
        "Alerts that are not over, by rule, severity, and state: pending, open, or acknowledged"
    );
    describe_gauge!(ALERTS_SUPPRESSED, count, "Open alerts of which nobody is told, by rule");
    describe_counter!(
        ALERT_TRANSITIONS,
        count,
        "Changes in the lives of alerts that this process made, by rule and transition"
    );
    describe_gauge!(
        ALERT_EVALUATION_AGE,
        Unit::Seconds,
        "How long ago some reporter has looked at all rules of alerts; absent before the first time"
    );
    describe_gauge!(ALERT_EVALUATION, Unit::Seconds, "How long that look took");
    describe_gauge!(BUILD_INFO, "Always 1; the labels say which program this is");
}

fn describe_notifications() {
    let count = Unit::Count;
    describe_counter!(
        NOTIFICATIONS,
        count,
        "Attempts of this process to deliver notifications, by kind of channel and outcome: delivered, failed (another \
         one follows), given_up"
    );
    describe_gauge!(NOTIFICATIONS_WAITING, count, "Notifications that are not delivered yet");
    describe_gauge!(
        NOTIFICATIONS_AGE,
        Unit::Seconds,
        "For how long the oldest notification of holdfast_notifications_waiting waits; 0 without any"
    );
    describe_counter!(
        HEARTBEATS,
        count,
        "What this process told dead man's switches as the leader, by outcome; withheld: the pipeline did not work"
    );
    describe_gauge!(
        PIPELINE_WORKS,
        "Whether the pipeline works, as dead man's switches are told: 1 or 0; only from the leader"
    );
}
