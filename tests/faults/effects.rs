//! What attempts did, as they wrote it down themselves: the one witness beside the database.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use shared::task::{TaskId, WorkerId};

/// One line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Effect {
    /// When, on the machine's `CLOCK_BOOTTIME`, which all processes share and nobody sets.
    pub at_ns: u64,
    /// By whom.
    pub worker: WorkerId,
    /// For which task.
    pub task: TaskId,
    /// As which owner.
    pub epoch: i64,
    /// What.
    #[serde(rename = "effect")]
    pub what: What,
}

/// What an attempt did to the world outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It began.
    Started,
    /// It went on.
    Tick,
    /// It came to its end; whether that counts is for the database to say.
    Done,
}

/// The file that simulated attempts append to.
#[derive(Debug, Clone)]
pub struct EffectLog(PathBuf);

impl EffectLog {
    /// A log at a path; nothing is there as long as no attempt ran.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All effects so far, in the order of their time.
    ///
    /// # Errors
    /// The file is not there, so the check would be blind; or it holds something else.
    pub fn read(&self) -> anyhow::Result<Vec<Effect>> {
        let text = std::fs::read_to_string(&self.0)
            .with_context(|| format!("no attempt has written to {}", self.0.display()))?;
        let mut effects = text
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not an effect: {line}")))
            .collect::<anyhow::Result<Vec<Effect>>>()?;
        effects.sort_by_key(|effect| effect.at_ns);
        Ok(effects)
    }
}

/// One attempt as its effects show it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// The time of its first effect.
    pub(super) first_ns: u64,
    /// The time of its last effect.
    pub(super) last_ns: u64,
    /// Whether it began.
    pub(super) started: bool,
    /// Whether it came to its end.
    pub(super) done: bool,
}

/// The attempts of each task, by epoch.
pub(super) fn attempts(effects: &[Effect]) -> HashMap<TaskId, BTreeMap<i64, Attempt>> {
    let mut attempts: HashMap<TaskId, BTreeMap<i64, Attempt>> = HashMap::new();
    for effect in effects {
        let fresh = Attempt { first_ns: effect.at_ns, last_ns: effect.at_ns, started: false, done: false };
        let attempt = attempts.entry(effect.task).or_default().entry(effect.epoch).or_insert(fresh);
        attempt.first_ns = attempt.first_ns.min(effect.at_ns);
        attempt.last_ns = attempt.last_ns.max(effect.at_ns);
        attempt.started |= effect.what == What::Started;
        attempt.done |= effect.what == What::Done;
    }
    attempts
}

/// The most attempts of some tasks that were at work at one moment.
pub(super) fn most_at_once(effects: &[Effect], of: impl Fn(&TaskId) -> bool) -> usize {
    let attempts = attempts(effects);
    let of_tasks = attempts.iter().filter(|(task, _)| of(task)).flat_map(|(_, epochs)| epochs.values());
    let changes = of_tasks.flat_map(|attempt| [(attempt.first_ns, 1), (attempt.last_ns, -1)]);
    // What ends at the moment at which another one begins is not counted with it.
    let mut changes: Vec<(u64, i32)> = changes.collect();
    changes.sort_unstable();
    let counts = changes.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    usize::try_from(counts.max().unwrap_or(0)).unwrap_or(0)
}

/// How long tasks were idle between an attempt whose result did not count and the next one, in ascending order.
pub(super) fn gaps(effects: &[Effect]) -> Vec<Duration> {
    let mut gaps: Vec<Duration> = attempts(effects)
        .values()
        .flat_map(|epochs| epochs.values().zip(epochs.values().skip(1)))
        .map(|(before, next)| Duration::from_nanos(next.first_ns.saturating_sub(before.last_ns)))
        .collect();
    gaps.sort_unstable();
    gaps
}

/// How many attempts came to their end in vain, because another one had to follow.
pub(super) fn in_vain(effects: &[Effect]) -> usize {
    let attempts = attempts(effects);
    let before = attempts.values().flat_map(|epochs| epochs.values().rev().skip(1));
    before.filter(|attempt| attempt.done).count()
}

/// The value below which 99 % of some lie, which are in ascending order.
pub(super) fn p99(sorted: &[Duration]) -> Option<Duration> {
    let place = (sorted.len() * 99).div_ceil(100);
    sorted.get(place.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_time_of_a_task_lies_between_an_attempt_and_the_next() {
        let (worker, task) = (WorkerId::generate(), TaskId::generate());
        let effect = |at_ns, epoch, what| Effect { at_ns, worker, task, epoch, what };
        let effects = [
            effect(10, 1, What::Started),
            effect(30, 1, What::Tick),
            effect(80, 3, What::Started),
            effect(90, 3, What::Done),
            effect(95, 4, What::Started),
        ];
        assert_eq!(gaps(&effects), [5, 50].map(Duration::from_nanos));
        assert_eq!(in_vain(&effects), 1);
    }

    #[test]
    fn attempts_that_overlap_are_counted_together_and_those_that_follow_are_not() {
        let worker = WorkerId::generate();
        let attempt = |began, ended| {
            let effect = |task, at_ns, what| Effect { at_ns, worker, task, epoch: 1, what };
            let task = TaskId::generate();
            [effect(task, began, What::Started), effect(task, ended, What::Done)]
        };
        let effects = [attempt(0, 10), attempt(10, 20), attempt(12, 30), attempt(19, 40)].concat();
        assert_eq!(most_at_once(&effects, |_| true), 3);
        assert_eq!(most_at_once(&effects, |task| *task == effects[0].task), 1);
    }

    #[test]
    fn the_99th_percentile_of_few_values_is_the_largest() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!(p99(&values), Some(Duration::from_secs(198)));
        assert_eq!(p99(&values[..7]), Some(Duration::from_secs(7)));
        assert_eq!(p99(&[]), None);
    }
}
