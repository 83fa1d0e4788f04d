//! What must hold, whatever happens.

use super::database::{Rows, TaskNo};
use super::seen::End;
use super::state::{Effect, State};
use super::words::words;

words! {
    /// The invariants: I1 and I8 are looked at when everything has come to rest, the others after every step.
    Invariant {
        /// I1: every confirmed publication reaches an end or the dead tasks, and so does all that went through the
        /// outbox. What another system published is excepted while only a broker knew of it that was wiped.
        EveryPublicationEnds,
        /// I2: a task has at most one committed result.
        OneResult,
        /// I3, in the database: it never regards two attempts of a task as its owner, and grants an epoch once. And
        /// beside it: at no time may the operations of two attempts of a task act, by the deadlines that they go by.
        /// For the exception see [`EffectsInOrder`](Self::EffectsInOrder).
        OneOwner,
        /// I3, in the world: when an epoch has had its first effect, no older one has another.
        ///
        /// This is *not* promised to whom a lease was granted before somebody set the database's clock forward: it
        /// may be taken for expired while its owner works on, for at most the rest of the lease on the owner's own
        /// clock. Only fencing protects the task then, and fencing protects only what is in the database. A clock
        /// that is set back is harmless: the lease lasts longer than its owner believes, and a rescue comes late.
        /// So the exception is made for those leases alone that were taken for expired at a greater skew of the two
        /// clocks than they were granted at last.
        EffectsInOrder,
        /// I4: nothing is committed by an epoch once a newer one was granted, however the clocks go.
        NoStaleCommit,
        /// I7: nothing leaves an end, and a task ends once.
        EndsAreFinal,
        /// I8: the outbox, the queues and the hands of all processes are empty in the end.
        NothingIsLeft,
        /// A task does not wait and run at once.
        WaitsOrRuns,
        /// No attempt begins after a person's wish for a task's end was taken in.
        CancelledStaysCancelled,
        /// No statement of the protocol breaks a constraint of its tables.
        ConstraintsHold,
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// For which task.
    pub task: TaskNo,
}

/// Looks at those of some invariants that must hold after every step.
#[must_use]
pub fn broken(state: &State, invariants: &[Invariant]) -> Option<Broken> {
    TaskNo::all().find_map(|task| {
        let rows = &state.database[task];
        let holds = [
            (Invariant::OneResult, rows.seen.results <= 1),
            (Invariant::NoStaleCommit, rows.seen.commits.iter().all(|commit| commit.epoch == commit.newest)),
            (Invariant::EndsAreFinal, ends_are_final(rows)),
            (Invariant::OneOwner, has_one_owner(state, task)),
            (Invariant::EffectsInOrder, effects_are_in_order(state, task)),
            (Invariant::WaitsOrRuns, rows.waiting.is_none() || rows.lease.is_none()),
            (Invariant::CancelledStaysCancelled, !rows.seen.ran_when_asked_to_end),
            (Invariant::ConstraintsHold, rows.seen.broken_constraint.is_none()),
        ];
        first_broken(&holds, task, invariants)
    })
}

/// Looks at those of some invariants that must hold once everything has come to rest.
#[must_use]
pub fn broken_at_rest(state: &State, invariants: &[Invariant]) -> Option<Broken> {
    TaskNo::all().find_map(|task| {
        let rows = &state.database[task];
        let seen = &rows.seen;
        let unheard_of = seen.wiped && !rows.known;
        let holds = [
            (Invariant::EveryPublicationEnds, !seen.accepted || unheard_of || !seen.ends.is_empty()),
            (Invariant::NothingIsLeft, rests(state, task)),
        ];
        first_broken(&holds, task, invariants)
    })
}

/// Whether nothing waits, runs, or is under way.
#[must_use]
pub fn is_at_rest(state: &State) -> bool {
    TaskNo::all().all(|task| rests(state, task))
}

fn rests(state: &State, task: TaskNo) -> bool {
    let rows = &state.database[task];
    let stored = rows.waiting.is_some() || rows.lease.is_some();
    let published = state.ready[task.0] > 0 || state.relay.iter().any(|taken| taken.publication.task == task);
    !stored && !published && !state.workers.iter().any(|worker| worker.has(task))
}

fn first_broken(holds: &[(Invariant, bool)], task: TaskNo, invariants: &[Invariant]) -> Option<Broken> {
    let (invariant, _) = holds.iter().find(|(invariant, holds)| !holds && invariants.contains(invariant))?;
    Some(Broken { invariant: *invariant, task })
}

/// By the database, and by the deadlines of those who believe to own the task.
fn has_one_owner(state: &State, task: TaskNo) -> bool {
    let rows = &state.database[task];
    let (mut owners, mut acting) = (0, 0);
    for (at, worker) in state.workers.iter().enumerate() {
        for attempt in worker.attempts.iter().filter(|attempt| attempt.leased.task == task) {
            let epoch = attempt.leased.epoch;
            let owns =
                |lease: &super::database::Lease| lease.owner == worker.owner(at) && lease.epoch == epoch;
            owners += u32::from(rows.lease.as_ref().is_some_and(owns));
            acting += u32::from(attempt.may_act(state.clocks) && !rows.seen.early.contains(&epoch));
        }
    }
    owners <= 1 && acting <= 1 && !rows.seen.epoch_reused
}

/// Looks at the newest effect, the others having been looked at before.
fn effects_are_in_order(state: &State, task: TaskNo) -> bool {
    let Some((last, earlier)) = state.effects.split_last().filter(|(last, _)| last.task == task) else {
        return true;
    };
    let newer = |effect: &Effect| effect.task == task && effect.epoch > last.epoch;
    !earlier.iter().any(newer) || state.database[task].seen.early.contains(&last.epoch)
}

fn ends_are_final(rows: &Rows) -> bool {
    let open = rows.waiting.is_some() || rows.lease.is_some();
    let dead = rows.seen.ends.contains(&End::Dead);
    let ends = rows.seen.ends.len();
    ends <= usize::from(!open) && dead == rows.dead.is_some()
}
