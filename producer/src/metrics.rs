//! What a producer measures: what the relay hands to the broker, what is due, what is rescued, what is looked after.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use shared::db::leader::LEADER;
use shared::metric;
use shared::metric::{BATCH, Metric, WAIT};
use shared::task::TaskKind;

metric!(RELAYED: Metric::counter(
    "holdfast_relay_tasks_total", &["kind", "result"],
    "Tasks that were published from the database, by whether the broker has confirmed them (confirmed, unconfirmed: they are published again)"
));
metric!(RELAY_SECONDS: Metric::histogram(
    "holdfast_relay_batch_seconds", &[], &BATCH, "How long a batch of tasks took that were published from the database, until its confirms were noted"
));
metric!(FIRED: Metric::counter(
    "holdfast_schedule_fired_total", &["result"],
    "Due times that were seen to: enqueued, or skipped because of the work before them"
));
metric!(LATE: Metric::histogram(
    "holdfast_schedule_late_seconds", &[], &WAIT, "How long after its due time a task was enqueued; its jitter is part of it"
));
metric!(EXPIRED: Metric::counter(
    "holdfast_reaper_leases_total", &["result"],
    "Leases that expired because their worker was not heard of, by what became of their tasks: requeued, dead or cancelled"
));
metric!(REAPER_SECONDS: Metric::histogram(
    "holdfast_reaper_look_seconds", &[], &BATCH, "How long a look for expired leases took"
));
metric!(RETURNED: Metric::counter(
    "holdfast_returned_total", &[], "Messages that were delivered too often and whose tasks were queued again from the database"
));
metric!(UPKEEP: Metric::counter(
    "holdfast_upkeep_total", &["duty", "result"],
    "What the database needs now and then, by duty and whether it was done, put off because its tables were in use, or failed"
));

/// What became of an expired lease's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    Requeued,
    Dead,
    Cancelled,
}

impl Expired {
    const ALL: [Self; 3] = [Self::Requeued, Self::Dead, Self::Cancelled];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Requeued => "requeued",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Shows zero for what has not happened yet, so that the first of each is seen as an increase.
pub(crate) fn show_all() {
    for kind in TaskKind::ALL {
        for result in ["confirmed", "unconfirmed"] {
            counter!(RELAYED, "kind" => kind.as_str(), "result" => result).increment(0);
        }
    }
    for result in ["enqueued", "skipped"] {
        counter!(FIRED, "result" => result).increment(0);
    }
    for result in Expired::ALL {
        counter!(EXPIRED, "result" => result.as_str()).increment(0);
    }
    counter!(RETURNED).increment(0);
    leads(false);
}

/// A batch of the relay has ended.
pub(crate) fn relayed(kind: TaskKind, confirmed: usize, unconfirmed: usize, took: Duration) {
    counter!(RELAYED, "kind" => kind.as_str(), "result" => "confirmed").increment(confirmed as u64);
    counter!(RELAYED, "kind" => kind.as_str(), "result" => "unconfirmed").increment(unconfirmed as u64);
    histogram!(RELAY_SECONDS).record(took.as_secs_f64());
}

/// A due time has its task, so many seconds later.
pub(crate) fn enqueued(late: f64) {
    counter!(FIRED, "result" => "enqueued").increment(1);
    histogram!(LATE).record(late.max(0.0));
}

/// Due times that have no task.
pub(crate) fn skipped(due_times: usize) {
    counter!(FIRED, "result" => "skipped").increment(due_times as u64);
}

/// Whether this producer sees to schedules.
pub(crate) fn leads(leads: bool) {
    gauge!(LEADER, "duty" => "schedules").set(f64::from(u8::from(leads)));
}

/// A lease has expired.
pub(crate) fn expired(result: Expired) {
    counter!(EXPIRED, "result" => result.as_str()).increment(1);
}

/// A look for expired leases is over.
pub(crate) fn reaped(took: Duration) {
    histogram!(REAPER_SECONDS).record(took.as_secs_f64());
}

/// A message came back.
pub(crate) fn returned() {
    counter!(RETURNED).increment(1);
}

/// A duty of upkeep is over.
pub(crate) fn upkeep(duty: &'static str, result: &'static str) {
    for one in ["done", "put_off", "failed"] {
        counter!(UPKEEP, "duty" => duty, "result" => one).increment(u64::from(one == result));
    }
}
