//! Random walks in great number.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Kind;
use super::database::TaskNo;
use super::dice::Dice;
use super::event::Event;
use super::happened::Happened;
use super::invariants::{Broken, Invariant};
use super::protocol::Protocol;
use super::state::State;
use super::walk::{Counts, Walk, within_bounds};

/// Events of a walk, before it comes to rest.
const LENGTH: usize = 400;
/// Events of a walk after its last task has ended.
const AFTERWARDS: usize = 20;
/// How often an event is chosen anew that cannot happen.
const CHOICES: usize = 60;
/// So many violations are enough to read.
const MOST_VIOLATIONS: usize = 5;

/// What walks have come by.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The seed that gives the same walks again.
    pub seed: u64,
    /// Walks, each from an empty world to its rest.
    pub walks: u64,
    /// Steps, each with every invariant looked at.
    pub steps: u64,
    /// Different states, times and counts left aside.
    pub states: usize,
    /// How often each kind of event happened.
    pub events: BTreeMap<&'static str, u64>,
    /// How often each turn was taken.
    pub turns: BTreeMap<&'static str, u64>,
    /// What did not hold: nothing, if the protocol is right.
    pub violations: Vec<Violation>,
}

/// An invariant that did not hold.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// For which task.
    pub task: usize,
    /// Events from an empty world that lead there: none of them can be left out.
    pub events: Vec<String>,
}

impl Report {
    /// Whether everything held and every turn was taken: a walk that avoids a corner says nothing about it.
    #[must_use]
    pub fn is_convincing(&self) -> bool {
        self.violations.is_empty() && self.missed().is_empty()
    }

    /// Events and turns that never came.
    #[must_use]
    pub fn missed(&self) -> Vec<&'static str> {
        let counts = self.events.iter().chain(&self.turns);
        counts.filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect()
    }
}

/// Walks at least `steps` steps through the protocol as it is, always the same for a seed.
#[must_use]
pub fn explore(steps: u64, seed: u64) -> Report {
    explore_variant(Protocol::REAL, steps, seed, Invariant::ALL)
}

/// Walks through a variant of the protocol, and looks only at some invariants.
#[must_use]
pub fn explore_variant(protocol: Protocol, steps: u64, seed: u64, invariants: &[Invariant]) -> Report {
    let mut counts = Counts::default();
    let (mut walks, mut violations) = (0, Vec::new());
    while counts.steps < steps && violations.len() < MOST_VIOLATIONS {
        let mut events = Vec::with_capacity(LENGTH);
        let walk = Walk::new(protocol, Some(&mut counts), invariants);
        if let Err(broken) = wander(walk, Dice::new(seed ^ (walks << 32)), &mut events) {
            violations.push(violation(protocol, events, broken, invariants));
        }
        walks += 1;
    }
    let name_all =
        |count: &dyn Fn(Kind) -> u64| Kind::ALL.iter().map(|kind| (kind.as_str(), count(*kind))).collect();
    Report {
        seed,
        walks,
        steps: counts.steps,
        states: counts.shapes.len(),
        events: name_all(&|kind| counts.events.get(&kind).copied().unwrap_or_default()),
        turns: Happened::ALL
            .iter()
            .map(|turn| (turn.as_str(), counts.happened.get(turn).copied().unwrap_or_default()))
            .collect(),
        violations,
    }
}

/// One walk, by its events.
#[must_use]
pub fn events_of_a_walk(seed: u64) -> Vec<Event> {
    let mut events = Vec::with_capacity(LENGTH);
    // A walk that breaks something is reported by `explore`.
    _ = wander(Walk::new(Protocol::REAL, None, Invariant::ALL), Dice::new(seed), &mut events);
    events
}

/// One walk. Each has its own mood: some kinds of events are rare in it and some frequent, so that long runs of the
/// same, such as losing a task to worker after worker, come about.
fn wander(mut walk: Walk<'_>, mut dice: Dice, events: &mut Vec<Event>) -> Result<(), Broken> {
    let mood = mood(&mut dice);
    let mut left = LENGTH;
    while left > 0 {
        // Once all has ended, only late copies can come.
        left = (left - 1).min(if has_ended(&walk.state) { AFTERWARDS } else { LENGTH });
        for _ in 0..CHOICES {
            let event = Event::of(mood[dice.below(mood.len())], dice.three());
            if !within_bounds(&walk.state, event) {
                continue;
            }
            events.push(event);
            if walk.go(event)? {
                break;
            }
            events.pop();
        }
    }
    walk.come_to_rest()
}

/// Every kind, as often as it is to be chosen.
fn mood(dice: &mut Dice) -> Vec<Kind> {
    let weighted = Kind::ALL.iter().flat_map(|kind| {
        let often = if kind.helps() { [2, 2, 3, 3, 4, 6] } else { [0, 0, 1, 1, 2, 6] };
        std::iter::repeat_n(*kind, often[dice.below(often.len())] * kind.weight())
    });
    weighted.collect()
}

fn has_ended(state: &State) -> bool {
    TaskNo::all().all(|task| !state.database[task].seen.ends.is_empty())
}

fn violation(protocol: Protocol, events: Vec<Event>, broken: Broken, invariants: &[Invariant]) -> Violation {
    let events = shrink(protocol, events, broken.invariant, invariants);
    let broken = replay(protocol, &events, invariants).err().unwrap_or(broken);
    Violation {
        invariant: broken.invariant.as_str(),
        task: broken.task.0,
        events: events.iter().map(|event| format!("{event:?}")).collect(),
    }
}

/// Leaves out what is not needed, larger parts first.
fn shrink(
    protocol: Protocol,
    mut events: Vec<Event>,
    invariant: Invariant,
    invariants: &[Invariant],
) -> Vec<Event> {
    let breaks = |events: &[Event]| {
        replay(protocol, events, invariants).is_err_and(|broken| broken.invariant == invariant)
    };
    let mut part = events.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < events.len() {
            let mut fewer = events.clone();
            fewer.drain(at..(at + part).min(events.len()));
            if breaks(&fewer) {
                events = fewer;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    events
}

/// Walks along given events, past those that cannot happen, and comes to rest.
pub(super) fn replay(protocol: Protocol, events: &[Event], invariants: &[Invariant]) -> Result<(), Broken> {
    let mut walk = Walk::new(protocol, None, invariants);
    for event in events {
        walk.go(*event)?;
    }
    walk.come_to_rest()
}
