//! What the producer says: one function an event.

use std::time::Duration;

use shared::db::Error;
use shared::db::dead_task::Stored;
use shared::db::lease::Expired;
use shared::db::readable::Unreadable;
use shared::db::schedule::Key;
use shared::message::Refusal;
use shared::task::TaskId;

pub(crate) fn published(queue: &str, tasks: usize, again: bool) {
    if again {
        tracing::info!(queue, tasks, "the broker takes tasks for the queue again");
    } else {
        tracing::debug!(queue, tasks, "published");
    }
}

pub(crate) fn not_published(
    queue: &str,
    confirmed: usize,
    unconfirmed: usize,
    error: &anyhow::Error,
    pause: Duration,
) {
    tracing::error!(
        queue,
        confirmed,
        unconfirmed,
        error = format!("{error:#}"),
        pause_ms = pause.as_millis(),
        "not all tasks for the queue were published: what was not is kept, and the queue tried again after a pause"
    );
}

pub(crate) fn relay_failed(error: &Error, rest: Duration) {
    let rest_ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(%error, rest_ms, "the relay could not use the database: trying again");
}

pub(crate) fn rescued(lost: &Expired) {
    let task = &lost.leased.task;
    tracing::warn!(
        task = %task.id, kind = %task.kind, worker = %lost.worker, epoch = lost.leased.epoch.0,
        rescues = lost.leased.rescues + 1, seconds = lost.seconds,
        "a lease expired: its task is queued again"
    );
}

pub(crate) fn buried(lost: &Expired) {
    let task = &lost.leased.task;
    tracing::error!(
        task = %task.id, kind = %task.kind, worker = %lost.worker, epoch = lost.leased.epoch.0,
        rescues = lost.leased.rescues, seconds = lost.seconds,
        "a lease expired once too often: its task is dead"
    );
}

pub(crate) fn cancelled(lost: &Expired) {
    let task = &lost.leased.task;
    tracing::warn!(
        task = %task.id, kind = %task.kind, worker = %lost.worker,
        "a lease expired whose end was asked for: its task is cancelled"
    );
}

pub(crate) fn returned(queue: &str, tasks: usize, fresh: usize) {
    tracing::warn!(queue, tasks, fresh, "a message was delivered too often: its tasks are queued again");
}

pub(crate) fn refused(queue: &str, refusal: &Refusal) {
    tracing::warn!(queue, reason = refusal.code(), detail = %refusal, "refused: it goes to the dead letters");
}

pub(crate) fn missed_wake(tasks: u64) {
    tracing::info!(tasks, "woke tasks that began to wait while their target came back");
}

pub(crate) fn ended_stuck(sessions: i64) {
    tracing::warn!(
        sessions,
        "ended sessions in which a statement waited for its worker for more than a minute"
    );
}

pub(crate) fn reaper_failed(error: &Error) {
    tracing::warn!(%error, "the reaper could not use the database: trying again");
}

pub(crate) fn upkeep_done(duty: &'static str, rows: u64) {
    tracing::info!(duty, rows, "upkeep");
}

pub(crate) fn upkeep_failed(duty: &'static str, error: &Error) {
    tracing::error!(duty, %error, "upkeep failed");
}

pub(crate) fn upkeep_put_off(duty: &'static str, error: &Error) {
    tracing::info!(duty, %error, "upkeep is put off for an hour: its tables are in use for long");
}

pub(crate) fn mended(partition: &str, rows: u64) {
    tracing::warn!(
        partition,
        rows,
        "a month had no partition: its rows were moved out of the default partition"
    );
}

pub(crate) fn dropped(partition: &str) {
    tracing::info!(partition, "a month was dropped: it ended longer ago than history is kept");
}

pub(crate) fn rows_without_a_month(rows: i64) {
    tracing::error!(
        rows,
        "rows lie in the default partitions, because those of their months could not be created"
    );
}

pub(crate) fn cancelled_waiting(task: TaskId, by: &str) {
    tracing::info!(%task, by, "a waiting task was cancelled");
}

pub(crate) fn cancel_asked(task: TaskId, by: &str) {
    tracing::info!(%task, by, "the end of a running task was asked for");
}

pub(crate) fn task_replayed(dead: TaskId, new: TaskId, by: &str) {
    tracing::info!(task = %dead, %new, by, "a dead task was replayed");
}

pub(crate) fn task_dropped(dead: &Stored, by: &str) {
    let task = &dead.task;
    tracing::info!(
        task = %task.id, kind = %task.kind, reason = %dead.reason, error = dead.last_error, by,
        "a dead task was dropped"
    );
}

pub(crate) fn letter_replayed(letter: &str, tasks: &[TaskId], by: &str) {
    tracing::info!(letter, ?tasks, by, "a dead letter was replayed");
}

/// Before it is dropped: afterwards nothing else knows what it said.
pub(crate) fn letter_dropped(letter: &str, reason: &str, queue: &str, body: &str, by: &str) {
    tracing::info!(letter, reason, queue, body, by, "a dead letter is dropped");
}

pub(crate) fn scheduler_leads(term: Option<i64>) {
    match term {
        Some(term) => tracing::info!(term, "this process sees to schedules"),
        None => tracing::info!("another process sees to schedules"),
    }
}

pub(crate) fn scheduled(schedules: usize, tasks: usize) {
    tracing::debug!(schedules, tasks, "due times were seen to");
}

pub(crate) fn unreadable_schedule(schedule: &Unreadable<Key>) {
    tracing::error!(
        schedule = schedule.key.name, error = %schedule.error,
        "a schedule that is due cannot be read by this version: it is tried again in a minute"
    );
}

pub(crate) fn scheduler_failed(error: &Error) {
    tracing::warn!(%error, "the scheduler could not use the database: trying again");
}

pub(crate) fn request_failed(error: &Error) {
    tracing::warn!(%error, "a request could not use the database");
}
