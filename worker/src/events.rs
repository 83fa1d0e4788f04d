//! What a worker says while it works: one function an event.

use std::time::Duration;

use shared::limit::Key;
use shared::message::Refusal;
use shared::task::{Epoch, Outcome, Priority, TaskId, TaskKind};

use crate::slots::Setting;

/// A batch was claimed: some of its tasks are this worker's own now, the others wait or were known already.
pub fn claimed(kind: TaskKind, tasks: usize, started: usize, others: usize) {
    tracing::debug!(%kind, tasks, started, others, "claimed");
}

/// An attempt ended and was recorded.
pub fn recorded(task: TaskId, kind: TaskKind, outcome: Option<Outcome>, seconds: f64, error: Option<&str>) {
    match (outcome, error) {
        (Some(outcome @ (Outcome::Success | Outcome::Warning)), _) => {
            tracing::info!(%task, %kind, %outcome, seconds, "done");
        }
        (Some(outcome), error) => {
            tracing::warn!(%task, %kind, %outcome, seconds, error = error.unwrap_or_default(), "not done");
        }
        (None, error) => {
            tracing::info!(%task, %kind, seconds, reason = error.unwrap_or_default(), "queued again");
        }
    }
}

/// An attempt's results came after the task had got another owner: they were discarded.
pub fn discarded(task: TaskId, epoch: Epoch) {
    tracing::warn!(%task, %epoch, "fenced: the results were discarded");
}

/// A heartbeat said that a task has another owner: its work ends.
pub fn fenced(task: TaskId, epoch: Epoch) {
    tracing::warn!(%task, %epoch, "fenced: the task has another owner, its work ends here");
}

/// A heartbeat did not reach the database: nothing is claimed until one does.
pub fn heartbeat_failed(error: &str) {
    tracing::warn!(error, "heartbeat failed: claiming nothing until one succeeds");
}

/// The worker could not say that it is there; the heartbeat says what is wrong.
pub fn report_failed(error: &str) {
    tracing::debug!(error, "could not report this worker");
}

/// Progress could not be stored, nor a person's word be looked for; the heartbeat says what is wrong.
pub fn control_failed(error: &str) {
    tracing::debug!(error, "could not store progress or look for cancellations");
}

/// What is limited could not be looked at, or tokens not be had; the heartbeat says what is wrong.
pub fn limits_failed(error: &str) {
    tracing::debug!(error, "could not look at limits: going by what is known");
}

/// A person asked for the end of a task that runs here.
pub fn cancelled(task: TaskId, by: &str) {
    tracing::info!(%task, by, "cancelled: its work ends here");
}

/// An attempt took longer than it may.
pub fn timed_out(task: TaskId, limit: Duration) {
    tracing::warn!(%task, limit_seconds = limit.as_secs_f64(), "the time limit is over: the work ends here");
}

/// A task gets a process of its own, because it may be what its workers died of.
pub fn quarantined(task: TaskId, rescues: i32) {
    tracing::warn!(%task, rescues, "runs alone in its process: it may be what its workers died of");
}

/// The process of a task that ran alone ended without recording anything.
pub fn quarantine_died(task: TaskId, how: &str) {
    tracing::error!(%task, how, "the process of a task that ran alone died with it");
}

/// An engine derived a repository's key from its password, because none was known or the known one was of no use.
pub fn key_derived(repository: &str) {
    tracing::debug!(repository, "derived the repository's key from its password");
}

/// The broker holds messages for a consumer that it does not serve: the session starts anew.
pub fn consumer_lost(kind: TaskKind, why: &str) {
    tracing::error!(%kind, why, "a consumer has silently gone: starting over");
}

/// The effect log could not be written.
pub fn effect_lost(error: &str) {
    tracing::error!(error, "the effect log could not be written");
}

/// A message or a task in one was refused; it goes to the dead letters.
pub fn refused(queue: &str, refusal: &Refusal) {
    tracing::warn!(queue, reason = refusal.code(), detail = %refusal, "refused: to the dead letters");
}

/// A dead letter could not be published yet.
pub fn dead_letter_delayed(error: &str) {
    tracing::warn!(error, "the dead letter was not taken: trying again");
}

/// The database did not take a batch; it is tried again.
pub fn batch_delayed(stage: &str, error: &str) {
    tracing::warn!(stage, error, "the database did not take a batch: trying again");
}

/// The database refuses a batch whatever happens; the tasks are tried one by one.
pub fn batch_split(stage: &str, tasks: usize, error: &str) {
    tracing::error!(stage, tasks, error, "the database refuses a batch: looking for the task at fault");
}

/// The database refuses what came of one attempt, whatever happens.
pub fn not_recordable(task: TaskId, reason: &str) {
    tracing::error!(%task, reason, "the results are given up");
}

/// The database refuses one task, whatever happens.
pub fn not_claimable(task: TaskId, error: &str) {
    tracing::error!(%task, error, "the database refuses a task: to the dead letters");
}

/// Tasks that wait in a line could not be called, whatever happens.
pub fn not_callable(kind: TaskKind, key: &Key, error: &str) {
    tracing::error!(%kind, %key, error, "the database refuses what waits for a limit: trying again later");
}

/// People told a pool something else.
pub fn pool_set(kind: TaskKind, setting: Setting) {
    tracing::info!(%kind, slots = setting.total, state = %setting.state, "the pool was told");
}

/// This worker could not say that it is gone.
pub fn leave_failed(error: &str) {
    tracing::warn!(error, "could not say that this worker is gone: its row is swept later");
}

/// The messages of a queue hold more or less than before, so that another number of them is delivered ahead.
pub fn delivered_ahead(kind: TaskKind, priority: Priority, messages: u16) {
    tracing::debug!(%kind, %priority, messages, "consuming anew: another number of messages is delivered ahead");
}

/// A pool takes nothing from its queues for now.
pub fn paused(kind: TaskKind) {
    tracing::debug!(%kind, "not consuming for now");
}

/// An executor panicked; its task failed, its neighbours go on.
pub fn panicked(task: TaskId, message: &str) {
    tracing::error!(%task, message, "the executor panicked");
}
