//! What a worker measures: what comes, what starts, what came of it, and how its batches do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{counter, gauge, histogram};
use serde::{Deserialize, Serialize};
use shared::metric;
use shared::metric::{BATCH, LONG, Metric, SIZES, WAIT};
use shared::task::{Outcome, TaskKind};

use crate::identity::Identity;
use crate::lease::Leases;

metric!(MESSAGES: Metric::counter(
    "holdfast_worker_messages_total", &["kind"], "Messages that were taken from the queues of a kind"
));
metric!(TASKS_RECEIVED: Metric::counter(
    "holdfast_worker_tasks_received_total", &["kind"], "Tasks in messages that were taken from the queues of a kind, bad ones as well"
));
metric!(REFUSED: Metric::counter(
    "holdfast_worker_refused_total", &["reason"], "Tasks and messages that went to the dead letters, by reason"
));
metric!(STARTED: Metric::counter("holdfast_worker_started_total", &["kind"], "Attempts that began"));
metric!(PICKUP: Metric::histogram(
    "holdfast_worker_pickup_seconds", &["kind"], &WAIT,
    "How long tasks waited until their first attempt began, from when they were asked for, or from their not_before; those that a limit held \
     back are not counted"
));
metric!(ATTEMPTS: Metric::counter(
    "holdfast_worker_attempts_total", &["kind", "outcome"],
    "Attempts that were recorded, by what came of them, also by a process that runs one task alone; where a commit was not heard of, what it \
     was to record counts as recorded"
));
metric!(ATTEMPT: Metric::histogram(
    "holdfast_worker_attempt_seconds", &["kind"], &LONG, "How long recorded attempts took"
));
metric!(SOURCE_BYTES: Metric::counter(
    "holdfast_worker_bytes_total", &["kind"], "Bytes of the sources of recorded attempts"
));
metric!(BATCH_SECONDS: Metric::histogram(
    "holdfast_worker_batch_seconds", &["stage"], &BATCH, "How long transactions took that claimed or recorded a batch, from their beginning to their commit"
));
metric!(BATCH_TASKS: Metric::histogram(
    "holdfast_worker_batch_tasks", &["stage"], &SIZES, "How many tasks transactions had that claimed or recorded a batch"
));
metric!(BATCH_RETRIES: Metric::counter(
    "holdfast_worker_batch_retries_total", &["stage"],
    "Transactions of batches that were begun anew, because of a conflict or because the database was away"
));
metric!(SLOTS: Metric::gauge("holdfast_worker_slots", &["kind"], "How many tasks this worker runs at once at most"));
metric!(SLOTS_BUSY: Metric::gauge("holdfast_worker_slots_busy", &["kind"], "How many slots of this worker are taken"));
metric!(LEASES: Metric::gauge(
    "holdfast_worker_leases", &[], "Tasks that are this worker's own: they run, or wait to be recorded; without those that run alone in a process"
));
metric!(HEARTBEAT_AGE: Metric::gauge(
    "holdfast_worker_heartbeat_age_seconds", &[], "How long ago the database heard of this worker last"
));
metric!(ENGINES: Metric::gauge(
    "holdfast_worker_engine_processes", &[], "Processes of the engine that run for this worker's attempts; without those of tasks that run alone in a process"
));

/// The stages that work in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Claim,
    Record,
}

impl Stage {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Record => "record",
        }
    }
}

/// Shows zero for what has not happened yet, so that the first of each is seen as an increase.
pub(crate) fn show_all(identity: &Identity) {
    for kind in identity.pools.keys().map(|kind| kind.as_str()) {
        for name in [MESSAGES, TASKS_RECEIVED, STARTED, SOURCE_BYTES] {
            counter!(name, "kind" => kind).increment(0);
        }
        for outcome in Outcome::ALL {
            counter!(ATTEMPTS, "kind" => kind, "outcome" => outcome.as_str()).increment(0);
        }
    }
    for stage in [Stage::Claim, Stage::Record] {
        counter!(BATCH_RETRIES, "stage" => stage.as_str()).increment(0);
    }
    for reason in shared::message::Refusal::CODES {
        counter!(REFUSED, "reason" => *reason).increment(0);
    }
}

/// Sets how busy this worker is.
pub(crate) fn set(identity: &Identity, leases: &Leases) {
    for (kind, slots) in &identity.pools {
        gauge!(SLOTS, "kind" => kind.as_str()).set(slots.total() as f64);
        gauge!(SLOTS_BUSY, "kind" => kind.as_str()).set(slots.busy() as f64);
    }
    gauge!(LEASES).set(leases.count() as f64);
    gauge!(HEARTBEAT_AGE).set(identity.heard_at().elapsed().as_secs_f64());
    gauge!(ENGINES).set(EngineProcess::running() as f64);
}

/// A message of so many tasks has come.
pub(crate) fn received(kind: TaskKind, tasks: usize) {
    counter!(MESSAGES, "kind" => kind.as_str()).increment(1);
    counter!(TASKS_RECEIVED, "kind" => kind.as_str()).increment(tasks as u64);
}

/// Something goes to the dead letters.
pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// A transaction of a stage was committed.
pub(crate) fn batch(stage: Stage, tasks: usize, took: Duration) {
    histogram!(BATCH_SECONDS, "stage" => stage.as_str()).record(took.as_secs_f64());
    histogram!(BATCH_TASKS, "stage" => stage.as_str()).record(tasks as f64);
}

/// A transaction of a stage is begun anew.
pub(crate) fn batch_retried(stage: Stage) {
    counter!(BATCH_RETRIES, "stage" => stage.as_str()).increment(1);
}

/// Attempts of a batch that begin, `could_start` each that is a task's first and that no limit held back.
pub(crate) fn started(kind: TaskKind, attempts: usize, could_start: &[DateTime<Utc>]) {
    counter!(STARTED, "kind" => kind.as_str()).increment(attempts as u64);
    if could_start.is_empty() {
        return;
    }
    let (pickup, now) = (histogram!(PICKUP, "kind" => kind.as_str()), shared::clock::now());
    for moment in could_start {
        // The publisher's clock may be ahead of ours.
        pickup.record((now - *moment).as_seconds_f64().max(0.0));
    }
}

/// What a batch of recorded attempts came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded(Vec<Attempt>);

#[derive(Debug, Serialize, Deserialize)]
struct Attempt {
    kind: TaskKind,
    outcome: Outcome,
    seconds: f64,
    /// Of its source.
    bytes: u64,
}

impl Recorded {
    /// One more attempt, with the bytes of its source.
    pub(crate) fn add(&mut self, kind: TaskKind, outcome: Outcome, took: Duration, bytes: u64) {
        self.0.push(Attempt { kind, outcome, seconds: took.as_secs_f64(), bytes });
    }

    /// Counts them: the lookups are made once for each kind and outcome.
    pub(crate) fn count(&self) {
        let mut outcomes = BTreeMap::<(TaskKind, Outcome), u64>::new();
        let mut kinds = BTreeMap::<TaskKind, (u64, Vec<f64>)>::new();
        for Attempt { kind, outcome, seconds, bytes } in &self.0 {
            *outcomes.entry((*kind, *outcome)).or_default() += 1;
            let (sum, all) = kinds.entry(*kind).or_default();
            *sum += bytes;
            all.push(*seconds);
        }
        for ((kind, outcome), count) in outcomes {
            counter!(ATTEMPTS, "kind" => kind.as_str(), "outcome" => outcome.as_str()).increment(count);
        }
        for (kind, (bytes, seconds)) in kinds {
            counter!(SOURCE_BYTES, "kind" => kind.as_str()).increment(bytes);
            let attempt = histogram!(ATTEMPT, "kind" => kind.as_str());
            for seconds in seconds {
                attempt.record(seconds);
            }
        }
    }
}

static ENGINE_PROCESSES: AtomicUsize = AtomicUsize::new(0);

/// A process of the engine that runs as long as this lives.
#[derive(Debug)]
pub(crate) struct EngineProcess(());

impl EngineProcess {
    pub(crate) fn begin() -> Self {
        ENGINE_PROCESSES.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    fn running() -> usize {
        ENGINE_PROCESSES.load(Ordering::Relaxed)
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        ENGINE_PROCESSES.fetch_sub(1, Ordering::Relaxed);
    }
}
