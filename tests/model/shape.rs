//! A state without its times and counts: what is different about it, not when or how often.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::database::{Lease, TaskNo, Waiting};
use super::state::{State, Worker};

/// A number that two states have in common when they differ only in times and in counts that do not matter.
pub(super) fn shape(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    for task in TaskNo::all() {
        let rows = &state.database[task];
        (rows.known, rows.dead, rows.seen.results, rows.seen.ends.len()).hash(&mut hasher);
        rows.waiting.as_ref().map(|row| waiting(state, row)).hash(&mut hasher);
        rows.lease.as_ref().map(|row| lease(state, row)).hash(&mut hasher);
        state.ready[task.0].min(2).hash(&mut hasher);
    }
    for each in &state.workers {
        worker(state, each, &mut hasher);
    }
    for taken in &state.relay {
        (taken.publication.task, taken.answer.map(|answer| answer as u8)).hash(&mut hasher);
    }
    (state.database.attached, state.strays.len()).hash(&mut hasher);
    hasher.finish()
}

fn waiting(state: &State, row: &Waiting) -> impl Hash + use<> {
    let now = state.clocks.database;
    let published = row.confirmed.min(2);
    (row.run_at <= now, row.publish_at <= now, row.for_target, published, row.attempt, row.rescues)
}

fn lease(state: &State, row: &Lease) -> impl Hash + use<> {
    let worker = &state.workers[row.owner.worker];
    let expired = row.lease_until < state.clocks.database;
    let orphaned = worker.start != row.owner.start;
    (row.owner.worker, orphaned, expired, row.cancelled, row.attempt, row.rescues)
}

fn worker(state: &State, worker: &Worker, hasher: &mut DefaultHasher) {
    (worker.life, worker.healthy, &worker.settled).hash(hasher);
    for delivery in &worker.inbox {
        (delivery.task, delivery.live).hash(hasher);
    }
    worker.claim.as_ref().map(|claim| (claim.batch.len(), claim.landed.is_some())).hash(hasher);
    worker.beat.as_ref().map(|beat| (beat.held.len(), beat.landed.is_some())).hash(hasher);
    for attempt in &worker.attempts {
        let task = attempt.leased.task;
        let lease = state.database[task].lease.as_ref();
        let current = lease.is_some_and(|lease| lease.epoch == attempt.leased.epoch);
        let ended = attempt.ended.as_ref().map(std::mem::discriminant);
        (task, attempt.may_act(state.clocks), attempt.told_fenced, current, ended).hash(hasher);
    }
}
