//! What must never happen, looked for from both sides: the database and the effects.

use std::collections::{HashMap, HashSet};

use shared::task::{Outcome, TaskId};

use super::effects::{Attempt, Effect, attempts};

/// All that is known after everything was healed and drained.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Ids whose publish was confirmed, or whose row was committed.
    pub published: Vec<TaskId>,
    /// Recorded attempts.
    pub executions: Vec<Execution>,
    /// Rows of `dead_task`.
    pub dead: HashSet<TaskId>,
    /// Ids in the dead-letter queue.
    pub dead_letters: HashSet<TaskId>,
    /// Rows of `task`.
    pub waiting: HashSet<TaskId>,
    /// Rows of `lease`.
    pub running: HashSet<TaskId>,
    /// Messages that are left in the other queues.
    pub queued: Vec<(String, u32)>,
    /// What attempts wrote down, in the order of time.
    pub effects: Vec<Effect>,
}

/// A recorded attempt.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    /// Whose.
    pub task: TaskId,
    /// By which owner.
    pub epoch: i64,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether its executor writes effects down.
    pub simulated: bool,
}

impl Execution {
    fn is_result(&self) -> bool {
        matches!(self.outcome, Outcome::Success | Outcome::Warning)
    }
}

/// What happened that must not; a sentence each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Confirmed tasks without an end, and what is left over anywhere.
    pub lost: Vec<String>,
    /// Tasks with two results, or with two attempts at the same time.
    pub doubled: Vec<String>,
    /// Results of owners that were not the owner any more, or of no attempt at all; ends that were left again.
    pub stale_commits: Vec<String>,
}

impl Verdict {
    /// Looks for everything.
    pub fn of(evidence: &Evidence) -> Self {
        let attempts = attempts(&evidence.effects);
        let mut results: HashMap<TaskId, Vec<i64>> = HashMap::new();
        for execution in evidence.executions.iter().filter(|execution| execution.is_result()) {
            results.entry(execution.task).or_default().push(execution.epoch);
        }
        let mut ended: HashSet<TaskId> = results.keys().copied().collect();
        let cancelled = evidence.executions.iter().filter(|e| e.outcome == Outcome::Cancelled);
        ended.extend(cancelled.map(|execution| execution.task));
        ended.extend(&evidence.dead);

        let mut verdict = Self::default();
        verdict.look_for_losses(evidence, &ended);
        for (task, epochs) in results.iter().filter(|(_, epochs)| epochs.len() > 1) {
            verdict.doubled.push(format!("task {task} has results of the epochs {epochs:?}"));
        }
        for (task, attempts) in &attempts {
            let pairs = attempts.iter().zip(attempts.iter().skip(1));
            for ((old, before), (new, after)) in
                pairs.filter(|((_, old), (_, new))| old.last_ns > new.first_ns)
            {
                let late = (before.last_ns - after.first_ns) / 1_000_000;
                verdict.doubled.push(format!(
                    "task {task}: epoch {old} still had effects {late} ms after epoch {new} began"
                ));
            }
        }
        for execution in evidence.executions.iter().filter(|e| e.simulated && e.is_result()) {
            let seen = attempts.get(&execution.task);
            let own = seen.and_then(|epochs| epochs.get(&execution.epoch));
            let newest = seen.and_then(|epochs| epochs.keys().next_back());
            verdict.judge_result(execution, own, newest.copied());
        }
        let open = evidence.waiting.iter().chain(&evidence.running);
        for task in open.filter(|task| ended.contains(task)) {
            verdict.stale_commits.push(format!("task {task} has ended, and waits or runs again"));
        }
        verdict
    }

    fn look_for_losses(&mut self, evidence: &Evidence, ended: &HashSet<TaskId>) {
        for task in &evidence.published {
            if !ended.contains(task) && !evidence.dead_letters.contains(task) {
                self.lost.push(format!("task {task} was confirmed and has no end"));
            }
        }
        let published: HashSet<&TaskId> = evidence.published.iter().collect();
        for (place, open) in [("waits", &evidence.waiting), ("runs", &evidence.running)] {
            for task in open.iter().filter(|task| !published.contains(task)) {
                self.lost.push(format!("task {task} still {place}"));
            }
        }
        for (queue, messages) in evidence.queued.iter().filter(|(_, messages)| *messages > 0) {
            self.lost.push(format!("{messages} messages are left in {queue}"));
        }
    }

    fn judge_result(&mut self, result: &Execution, own: Option<&Attempt>, newest: Option<i64>) {
        let Execution { task, epoch, .. } = result;
        if !own.is_some_and(|own| own.started && own.done) {
            self.stale_commits
                .push(format!("task {task} has a result of epoch {epoch}, which did not begin and end"));
        }
        if let Some(newest) = newest.filter(|newest| newest > epoch) {
            self.stale_commits
                .push(format!("task {task} has a result of epoch {epoch}, and epoch {newest} began"));
        }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
