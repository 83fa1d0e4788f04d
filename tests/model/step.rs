//! One step: a pure function of the state and the event.

use super::clock::CLOCK_STEP;
use super::event::Event;
use super::operation::{Answer, Operation};
use super::protocol::Protocol;
use super::state::State;
use super::transaction::Transaction;

/// The state after an event. One that cannot happen now changes nothing, and says so in [`State::last`].
#[must_use]
pub fn step(mut state: State, event: Event, protocol: Protocol) -> State {
    state.last = super::state::Last::default();
    state.last.possible = Step { state: &mut state, protocol }.take(event).is_some();
    state
}

/// The state while it changes. Each function answers `None`, before it changes anything, if it cannot happen.
pub(super) struct Step<'a> {
    pub(super) state: &'a mut State,
    pub(super) protocol: Protocol,
}

/// That it has happened.
pub(super) type Done = Option<()>;

impl Step<'_> {
    fn take(&mut self, event: Event) -> Done {
        match event {
            Event::Publish { task } => self.publish(task),
            Event::Enqueue { task, wait } => {
                self.enqueue(task, wait);
                Some(())
            }
            Event::RelayTakes => self.relay_takes(),
            Event::RelayPublishes { slot, confirm } => self.relay_publishes(slot, confirm),
            Event::RelayMarks => self.relay_marks(),
            Event::RelayPublishesAgain => self.relay_publishes_again(),
            Event::RelayCrashes => self.relay_crashes(),
            Event::Deliver { worker, task } => self.deliver(worker, task),
            Event::ConnectionLost { worker } => self.connection_lost(worker),
            Event::BrokerWiped => self.broker_wiped(),
            Event::ClaimBegins { worker, batch, park } => self.claim_begins(worker, batch, park),
            Event::ClaimLands { worker } => self.claim_lands(worker),
            Event::ClaimHeard { worker } => self.claim_heard(worker),
            Event::ClaimUnheard { worker } => self.claim_unheard(worker),
            Event::Ack { worker } => self.ack(worker),
            Event::HeartbeatBegins { worker } => self.heartbeat_begins(worker),
            Event::HeartbeatLands { worker } => self.heartbeat_lands(worker),
            Event::HeartbeatHeard { worker } => self.heartbeat_heard(worker),
            Event::HeartbeatFails { worker } => self.heartbeat_fails(worker),
            Event::StrayHeartbeatLands => self.stray_heartbeat_lands(),
            Event::Control { worker } => self.control(worker),
            Event::Effect { worker, slot } => self.effect(worker, slot),
            Event::Ends { worker, slot, how } => self.ends(worker, slot, how),
            Event::FencesItself { worker, slot } => self.fences_itself(worker, slot),
            Event::Record { worker, batch, heard, jitter } => self.record(worker, batch, heard, jitter),
            Event::Crash { worker } => self.crash(worker),
            Event::Restart { worker } => self.restart(worker),
            Event::Stop { worker } => self.stop(worker),
            Event::Continue { worker } => self.go_on(worker),
            Event::Reap => self.reap(),
            Event::CancelWaiting { task } => self.if_moved(&Operation::CancelWaiting(task)),
            Event::CancelRunning { task } => self.if_moved(&Operation::CancelRunning(task)),
            Event::Detach => self.target(true, &Operation::Detach),
            Event::Attach => self.target(false, &Operation::Attach),
            Event::Pass { millis } => {
                self.state.clocks.database += millis;
                self.state.clocks.boot += millis;
                Some(())
            }
            Event::ClockSteps { forward } => {
                self.state.clocks.database += if forward { CLOCK_STEP } else { -CLOCK_STEP };
                Some(())
            }
        }
    }

    /// Commits a transaction.
    pub(super) fn commit(&mut self, operation: &Operation) -> Answer {
        let State { database, clocks, last, .. } = &mut *self.state;
        let happened = &mut last.happened;
        let transaction = Transaction { database, clocks: *clocks, protocol: self.protocol, happened };
        let answer = transaction.perform(operation);
        last.committed = Some((operation.clone(), answer.clone()));
        answer
    }

    /// Takes the target away or brings it back.
    fn target(&mut self, attached: bool, operation: &Operation) -> Done {
        (self.state.database.attached == attached).then(|| _ = self.commit(operation))
    }

    /// Commits a transaction that changes nothing where it moves nothing.
    pub(super) fn if_moved(&mut self, operation: &Operation) -> Done {
        (self.commit(operation) != Answer::Moved(0)).then_some(())
    }

    /// A sweep that finds something.
    fn reap(&mut self) -> Done {
        let nothing = Answer::Leased(Vec::new());
        let found = self.commit(&Operation::Reap) != nothing || !self.state.last.happened.is_empty();
        found.then_some(())
    }
}
