//! Steps of the broker, of those who publish, and of the relay.

use super::clock::Millis;
use super::database::TaskNo;
use super::happened::Happened;
use super::operation::{Answer, Operation};
use super::protocol::Safeguard;
use super::state::{Confirm, Delivery, Life, State, Taken};
use super::step::{Done, Step};

/// The most deliveries that a worker holds.
const PREFETCH: usize = 4;
/// More copies of one message teach nothing.
const MOST_COPIES: u32 = 4;
/// The most publications that the relay has in its hands.
const MOST_TAKEN: usize = 6;

impl Step<'_> {
    pub(super) fn publish(&mut self, task: TaskNo) -> Done {
        self.add_copy(task)?;
        let seen = &mut self.state.database[task].seen;
        (seen.accepted, seen.wiped) = (true, false);
        Some(())
    }

    pub(super) fn enqueue(&mut self, task: TaskNo, wait: Millis) {
        _ = self.commit(&Operation::Enqueue { task, wait });
        self.state.database[task].seen.wiped = false;
    }

    fn add_copy(&mut self, task: TaskNo) -> Done {
        let ready = &mut self.state.ready[task.0];
        (*ready < MOST_COPIES).then(|| *ready += 1)
    }

    pub(super) fn relay_takes(&mut self) -> Done {
        if self.state.relay.len() >= MOST_TAKEN {
            return None;
        }
        let Answer::Due(due) = self.commit(&Operation::TakeDue) else { return None };
        self.state
            .relay
            .extend(due.iter().map(|publication| Taken { publication: *publication, answer: None }));
        (!due.is_empty()).then_some(())
    }

    pub(super) fn relay_publishes(&mut self, slot: usize, confirm: Confirm) -> Done {
        let waiting = self.state.relay.iter().filter(|taken| taken.answer.is_none()).count();
        let at = slot.checked_rem(waiting)?;
        let task = self.state.relay.iter().filter(|taken| taken.answer.is_none()).nth(at)?.publication.task;
        if confirm != Confirm::NeverArrived {
            self.add_copy(task)?;
            if std::mem::take(&mut self.state.database[task].seen.copies_wiped) {
                self.state.last.happened.push(Happened::RepublishedAfterWipe);
            }
        }
        let taken = self.state.relay.iter_mut().filter(|taken| taken.answer.is_none()).nth(at)?;
        taken.answer = Some(confirm);
        Some(())
    }

    pub(super) fn relay_marks(&mut self) -> Done {
        let confirmed = self.answered(|confirm| confirm == Confirm::Heard)?;
        let all = u64::try_from(confirmed.len()).ok()?;
        if self.commit(&Operation::MarkPublished(confirmed)) != Answer::Moved(all) {
            self.state.last.happened.push(Happened::MarkWasLate);
        }
        self.state.relay.retain(|taken| taken.answer != Some(Confirm::Heard));
        Some(())
    }

    pub(super) fn relay_publishes_again(&mut self) -> Done {
        let failed = self.answered(|confirm| confirm != Confirm::Heard)?;
        _ = self.commit(&Operation::PublishAgain(failed));
        self.state.relay.retain(|taken| matches!(taken.answer, None | Some(Confirm::Heard)));
        Some(())
    }

    fn answered(&self, which: fn(Confirm) -> bool) -> Option<Vec<super::database::Publication>> {
        let answered = self.state.relay.iter().filter(|taken| taken.answer.is_some_and(which));
        let answered: Vec<_> = answered.map(|taken| taken.publication).collect();
        (!answered.is_empty()).then_some(answered)
    }

    pub(super) fn relay_crashes(&mut self) -> Done {
        let relay = std::mem::take(&mut self.state.relay);
        (!relay.is_empty()).then_some(())
    }

    pub(super) fn deliver(&mut self, worker: usize, task: TaskNo) -> Done {
        let State { ready, workers, .. } = &mut *self.state;
        let worker = &mut workers[worker];
        let claiming = worker.claim.as_ref().map_or(0, |claim| claim.batch.len());
        if worker.life == Life::Crashed || worker.inbox.len() + claiming + worker.settled.len() >= PREFETCH {
            return None;
        }
        ready[task.0] = ready[task.0].checked_sub(1)?;
        worker.inbox.push(Delivery { task, live: self.protocol.has(Safeguard::AckAfterCommit) });
        Some(())
    }

    pub(super) fn connection_lost(&mut self, worker: usize) -> Done {
        let had_settled = !self.state.workers[worker].settled.is_empty();
        let unacked = self.state.workers[worker].take_live();
        if had_settled {
            self.state.last.happened.push(Happened::AckLost);
        }
        self.give_back(&unacked);
        (!unacked.is_empty()).then_some(())
    }

    pub(super) fn give_back(&mut self, unacked: &[TaskNo]) {
        for task in unacked {
            self.state.ready[task.0] += 1;
        }
    }

    /// Every queue and every unacknowledged copy is gone; what a worker has received it still claims.
    pub(super) fn broker_wiped(&mut self) -> Done {
        let State { ready, workers, database, .. } = &mut *self.state;
        let mut lost: Vec<TaskNo> = TaskNo::all().filter(|task| ready[task.0] > 0).collect();
        lost.extend(workers.iter_mut().flat_map(super::state::Worker::take_live));
        *ready = Default::default();
        for task in &lost {
            let rows = &mut database[*task];
            rows.seen.wiped |= !rows.known;
            rows.seen.copies_wiped |= rows.waiting.as_ref().is_some_and(|row| row.confirmed > 0);
        }
        (!lost.is_empty()).then_some(())
    }
}
