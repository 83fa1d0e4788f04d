//! A walk through the states: events one after the other, each looked at, and at the end everything comes to rest.

use std::collections::{BTreeMap, HashSet};

use super::clock::{CLOCK_STEP, Millis, NEVER};
use super::database::TaskNo;
use super::event::{Batch, Event, How};
use super::happened::Happened;
use super::invariants::{Broken, Invariant, broken, broken_at_rest, is_at_rest};
use super::operation::Jitter;
use super::protocol::Protocol;
use super::shape::shape;
use super::state::{Confirm, Life, State};
use super::step::step;
use super::{Kind, TASKS, WORKERS};

/// So often everything that waits is waited for before a walk is said not to come to rest.
const ROUNDS: usize = 40;

/// What walks have counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) steps: u64,
    pub(super) shapes: HashSet<u64>,
    pub(super) events: BTreeMap<Kind, u64>,
    pub(super) happened: BTreeMap<Happened, u64>,
}

/// A walk.
pub(super) struct Walk<'a> {
    pub(super) state: State,
    protocol: Protocol,
    counts: Option<&'a mut Counts>,
    invariants: &'a [Invariant],
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        protocol: Protocol,
        counts: Option<&'a mut Counts>,
        invariants: &'a [Invariant],
    ) -> Self {
        Self { state: State::default(), protocol, counts, invariants }
    }

    /// Goes on with an event. `Ok(false)` if it cannot happen now.
    pub(super) fn go(&mut self, event: Event) -> Result<bool, Broken> {
        self.state = step(std::mem::take(&mut self.state), event, self.protocol);
        if !self.state.last.possible {
            return Ok(false);
        }
        if let Some(counts) = &mut self.counts {
            counts.steps += 1;
            *counts.events.entry(event.kind()).or_default() += 1;
            for happened in &self.state.last.happened {
                *counts.happened.entry(*happened).or_default() += 1;
            }
            counts.shapes.insert(shape(&self.state));
        }
        broken(&self.state, self.invariants).map_or(Ok(true), Err)
    }

    /// Goes on without any more faults until nothing is left to do, or it is clear that something will be left.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Broken> {
        for worker in 0..WORKERS {
            self.go(Event::Restart { worker })?;
            self.go(Event::Continue { worker })?;
        }
        self.go(Event::Attach)?;
        for round in 0..ROUNDS {
            self.relay()?;
            self.deliver(round)?;
            for worker in 0..WORKERS {
                self.work(worker)?;
            }
            while self.go(Event::StrayHeartbeatLands)? {}
            self.go(Event::Reap)?;
            if is_at_rest(&self.state) {
                break;
            }
            if let Some(millis) = self.until_something_is_due() {
                self.go(Event::Pass { millis })?;
            }
        }
        broken_at_rest(&self.state, self.invariants).map_or(Ok(()), Err)
    }

    fn relay(&mut self) -> Result<(), Broken> {
        self.go(Event::RelayTakes)?;
        while self.go(Event::RelayPublishes { slot: 0, confirm: Confirm::Heard })? {}
        self.go(Event::RelayMarks)?;
        self.go(Event::RelayPublishesAgain)?;
        Ok(())
    }

    fn deliver(&mut self, round: usize) -> Result<(), Broken> {
        for task in (0..TASKS).map(TaskNo) {
            for worker in (0..WORKERS).map(|worker| (worker + round) % WORKERS) {
                while self.go(Event::Deliver { worker, task })? {}
            }
        }
        Ok(())
    }

    /// Everything that one worker has to do.
    fn work(&mut self, worker: usize) -> Result<(), Broken> {
        for event in [
            Event::HeartbeatLands { worker },
            Event::HeartbeatHeard { worker },
            Event::HeartbeatBegins { worker },
            Event::HeartbeatLands { worker },
            Event::HeartbeatHeard { worker },
            Event::ClaimLands { worker },
            Event::ClaimHeard { worker },
        ] {
            self.go(event)?;
        }
        self.end_attempts(worker)?;
        let all = Event::ClaimBegins { worker, batch: Batch::All, park: None };
        if self.go(all)? {
            self.go(Event::ClaimLands { worker })?;
            self.go(Event::ClaimHeard { worker })?;
        }
        self.go(Event::Ack { worker })?;
        self.end_attempts(worker)
    }

    fn end_attempts(&mut self, worker: usize) -> Result<(), Broken> {
        while self.go(Event::FencesItself { worker, slot: 0 })? || {
            self.go(Event::Effect { worker, slot: 0 })?;
            self.go(Event::Ends { worker, slot: 0, how: How::Done })?
        } {}
        self.go(Event::Record { worker, batch: Batch::All, heard: true, jitter: Jitter::None })?;
        Ok(())
    }

    /// How long until the database's clock comes to something that it waits for.
    fn until_something_is_due(&self) -> Option<Millis> {
        let due = TaskNo::all().flat_map(|task| {
            let rows = &self.state.database[task];
            let waiting = rows.waiting.as_ref().map(|row| row.publish_at);
            // A lease has expired when its end is over.
            waiting.into_iter().chain(rows.lease.as_ref().map(|lease| lease.lease_until + 1))
        });
        let due = due.filter(|due| *due < NEVER).map(|due| due - self.state.clocks.database);
        due.filter(|wait| *wait > 0).min()
    }
}

/// How far the database's clock may have been set forward or back, so that waits stay finite.
pub(super) const MOST_SKEW: Millis = 6 * CLOCK_STEP;

/// Whether an event may be chosen: one that only the model's bounds speak against.
pub(super) fn within_bounds(state: &State, event: Event) -> bool {
    match event {
        Event::ClockSteps { forward: true } => state.clocks.skew() < MOST_SKEW,
        Event::ClockSteps { forward: false } => state.clocks.skew() > -MOST_SKEW,
        // At least one worker goes on, or nothing is learnt.
        Event::Crash { .. } | Event::Stop { .. } => {
            state.workers.iter().filter(|worker| worker.life == Life::Running).count() > 1
        }
        _ => true,
    }
}
