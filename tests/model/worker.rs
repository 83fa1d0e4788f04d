//! Steps of the workers.

use shared::task::{Ended, Postponed};

use super::clock::{LEASE, Millis};
use super::event::{Batch, How};
use super::happened::Happened;
use super::operation::{Answer, Jitter, Operation, Wish};
use super::protocol::Safeguard;
use super::state::{Attempt, Beat, Claim, Effect, Life, Worker};
use super::step::{Done, Step};

/// The most attempts that a worker holds.
const MOST_ATTEMPTS: usize = 6;
/// The most heartbeats on their way that were given up.
const MOST_STRAYS: usize = 3;

impl Step<'_> {
    fn running(&mut self, worker: usize) -> Option<&mut Worker> {
        Some(&mut self.state.workers[worker]).filter(|worker| worker.life == Life::Running)
    }

    /// The deadline of a lease that is asked for now.
    fn deadline(&self) -> Millis {
        self.state.clocks.boot + LEASE
    }

    /// The deadline of a lease that was granted, when that is heard of.
    fn heard_deadline(&self, before: Millis) -> Millis {
        if self.protocol.has(Safeguard::EarlyDeadline) { before } else { self.deadline() }
    }

    /// `worker::claim::run` takes what came, once heartbeats succeed.
    pub(super) fn claim_begins(&mut self, worker: usize, batch: Batch, park: Option<Millis>) -> Done {
        let deadline = self.deadline();
        let worker = self.running(worker)?;
        if !worker.healthy || worker.claim.is_some() || worker.inbox.is_empty() {
            return None;
        }
        let size = if batch == Batch::All { worker.inbox.len() } else { 1 };
        if worker.attempts.len() + size > MOST_ATTEMPTS {
            return None;
        }
        // Where something is parked, every other task still starts.
        let wish = |place: usize| park.filter(|_| place.is_multiple_of(2)).map_or(Wish::Start, Wish::Park);
        let batch = worker.inbox.drain(..size).enumerate().map(|(place, delivery)| (delivery, wish(place)));
        worker.claim = Some(Claim { deadline, batch: batch.collect(), landed: None });
        Some(())
    }

    /// The transaction is on its way and needs its worker no more, unless that died.
    pub(super) fn claim_lands(&mut self, worker: usize) -> Done {
        let owner = self.state.workers[worker].owner(worker);
        let claim = self.state.workers[worker].claim.as_ref().filter(|claim| claim.landed.is_none())?;
        let batch = claim.batch.iter().map(|(delivery, wish)| (delivery.task, *wish)).collect();
        let Answer::Leased(leased) = self.commit(&Operation::Claim { owner, batch }) else { return None };
        self.state.workers[worker].claim.as_mut()?.landed = Some(leased);
        Some(())
    }

    /// `worker::claim::hand_over`.
    pub(super) fn claim_heard(&mut self, worker: usize) -> Done {
        let Claim { deadline, batch, landed } =
            self.running(worker)?.claim.take_if(|claim| claim.landed.is_some())?;
        let deadline = self.heard_deadline(deadline);
        let leased = landed.unwrap_or_default();
        if !leased.is_empty() && deadline <= self.state.clocks.boot {
            self.state.last.happened.push(Happened::ClaimHeardTooLate);
        }
        let worker = self.running(worker)?;
        worker
            .settled
            .extend(batch.iter().filter(|(delivery, _)| delivery.live).map(|(delivery, _)| delivery.task));
        let started = leased.into_iter();
        worker.attempts.extend(started.map(|leased| Attempt {
            leased,
            deadline,
            told_fenced: false,
            ended: None,
        }));
        Some(())
    }

    /// `worker::claim::persist` repeats a transaction that it has not heard of, with a new deadline.
    pub(super) fn claim_unheard(&mut self, worker: usize) -> Done {
        let deadline = self.deadline();
        let claim = self.running(worker)?.claim.as_mut()?;
        claim.deadline = deadline;
        if claim.landed.take().is_some_and(|leased| !leased.is_empty()) {
            self.state.last.happened.push(Happened::ClaimUnheardOf);
        }
        Some(())
    }

    pub(super) fn ack(&mut self, worker: usize) -> Done {
        let settled = std::mem::take(&mut self.running(worker)?.settled);
        (!settled.is_empty()).then_some(())
    }

    /// `worker::lease::Leases::beats`: of one task the attempt that was claimed last.
    pub(super) fn heartbeat_begins(&mut self, worker: usize) -> Done {
        let deadline = self.deadline();
        let worker = self.running(worker)?;
        if worker.beat.is_some() {
            return None;
        }
        let each = worker.attempts.iter().enumerate();
        let held = each.filter(|(at, attempt)| {
            worker.attempts[at + 1..].iter().all(|later| later.leased.task != attempt.leased.task)
        });
        let mut held: Vec<_> = held.map(|(_, attempt)| (attempt.leased.task, attempt.leased.epoch)).collect();
        held.sort_unstable();
        worker.beat = Some(Beat { deadline, held, landed: None });
        Some(())
    }

    pub(super) fn heartbeat_lands(&mut self, worker: usize) -> Done {
        let owner = self.state.workers[worker].owner(worker);
        let beat = self.state.workers[worker].beat.as_ref().filter(|beat| beat.landed.is_none())?;
        let held = beat.held.clone();
        let Answer::Owned(kept) = self.commit(&Operation::Heartbeat { owner, held }) else { return None };
        self.state.workers[worker].beat.as_mut()?.landed = Some(kept);
        Some(())
    }

    /// `worker::lease::Leases::beat` after its answer.
    pub(super) fn heartbeat_heard(&mut self, worker: usize) -> Done {
        let Beat { deadline, held, landed } =
            self.running(worker)?.beat.take_if(|beat| beat.landed.is_some())?;
        let deadline = self.heard_deadline(deadline);
        let kept = landed.unwrap_or_default();
        let worker = self.running(worker)?;
        worker.healthy = true;
        let mut told = 0;
        for beat in held {
            let of_task = |attempt: &&mut Attempt| attempt.leased.task == beat.0;
            let Some(attempt) =
                worker.attempts.iter_mut().rfind(of_task).filter(|held| held.leased.epoch == beat.1)
            else {
                continue;
            };
            if kept.contains(&beat) {
                attempt.deadline = deadline;
            } else if attempt.works() {
                attempt.told_fenced = true;
                told += 1;
            }
        }
        self.state.last.happened.extend(std::iter::repeat_n(Happened::ToldFenced, told));
        Some(())
    }

    pub(super) fn heartbeat_fails(&mut self, worker: usize) -> Done {
        let owner = self.state.workers[worker].owner(worker);
        let beat = self.running(worker)?.beat.take()?;
        self.running(worker)?.healthy = false;
        self.set_adrift(owner, beat);
        Some(())
    }

    /// Nobody waits for a heartbeat any more that may still arrive.
    fn set_adrift(&mut self, owner: super::database::Owner, beat: Beat) {
        if beat.landed.is_none() && !beat.held.is_empty() && self.state.strays.len() < MOST_STRAYS {
            self.state.strays.push((owner, beat.held));
        }
    }

    pub(super) fn stray_heartbeat_lands(&mut self) -> Done {
        let (owner, held) = self.state.strays.pop()?;
        if self.commit(&Operation::Heartbeat { owner, held }) != Answer::Owned(Vec::new()) {
            self.state.last.happened.push(Happened::StrayHeartbeatExtended);
        }
        Some(())
    }

    pub(super) fn control(&mut self, worker: usize) -> Done {
        let owner = self.state.workers[worker].owner(worker);
        self.running(worker)?;
        let Answer::Owned(asked) = self.commit(&Operation::Control { owner }) else { return None };
        for attempt in &mut self.state.workers[worker].attempts {
            if attempt.works() && asked.contains(&(attempt.leased.task, attempt.leased.epoch)) {
                attempt.ended = Some(Ended::Cancelled { by: String::new() });
            }
        }
        (!asked.is_empty()).then_some(())
    }

    /// The attempt at `slot` among those whose operation runs.
    fn working(&mut self, worker: usize, slot: usize) -> Option<&mut Attempt> {
        let worker = &mut self.state.workers[worker];
        let working = worker.attempts.iter().filter(|attempt| attempt.works()).count();
        let at = slot.checked_rem(working)?;
        worker.attempts.iter_mut().filter(|attempt| attempt.works()).nth(at)
    }

    /// The operation is a process of its own: it goes on beside a stopped worker, until its deadline. That it looks
    /// at its clock and has the effect is one step here; in the world the effect may land a moment later.
    pub(super) fn effect(&mut self, worker: usize, slot: usize) -> Done {
        let (clocks, self_fencing) = (self.state.clocks, self.protocol.has(Safeguard::SelfFencing));
        let stopped = self.state.workers[worker].life == Life::Stopped;
        let attempt = self.working(worker, slot)?;
        if self_fencing && !attempt.may_act(clocks) {
            return None;
        }
        let effect = Effect { task: attempt.leased.task, epoch: attempt.leased.epoch, at: clocks };
        if stopped {
            self.state.last.happened.push(Happened::EffectOfStoppedWorker);
        }
        let seen = &self.state.database[effect.task].seen;
        if effect.epoch < seen.newest && seen.early.contains(&effect.epoch) {
            self.state.last.happened.push(Happened::EffectOfEarlyExpired);
        }
        self.state.effects.push(effect);
        Some(())
    }

    pub(super) fn ends(&mut self, worker: usize, slot: usize, how: How) -> Done {
        self.running(worker)?;
        self.working(worker, slot)?.ended = Some(how.ended());
        Some(())
    }

    /// `worker::lease::Lease::lost`, and the kill of the operation.
    pub(super) fn fences_itself(&mut self, worker: usize, slot: usize) -> Done {
        let (clocks, self_fencing) = (self.state.clocks, self.protocol.has(Safeguard::SelfFencing));
        self.running(worker)?;
        let attempt = self.working(worker, slot)?;
        if !self_fencing || (attempt.may_act(clocks) && !attempt.told_fenced) {
            return None;
        }
        attempt.ended = Some(Ended::Interrupted);
        self.state.last.happened.push(Happened::FencedItself);
        Some(())
    }

    /// One batch of `worker::record`; unless its commit is heard of, it comes again.
    pub(super) fn record(&mut self, worker: usize, batch: Batch, heard: bool, jitter: Jitter) -> Done {
        let owner = self.state.workers[worker].owner(worker);
        let ended = |attempt: &Attempt| Some((attempt.leased, attempt.ended.clone()?));
        let most = if batch == Batch::All { usize::MAX } else { 1 };
        let finished: Vec<_> = self.running(worker)?.attempts.iter().filter_map(ended).take(most).collect();
        if finished.is_empty() {
            return None;
        }
        let recorded: Vec<_> = finished.iter().map(|(leased, _)| *leased).collect();
        _ = self.commit(&Operation::Record { owner, finished, jitter });
        if heard {
            self.state.workers[worker].attempts.retain(|attempt| !recorded.contains(&attempt.leased));
        }
        Some(())
    }

    pub(super) fn crash(&mut self, at: usize) -> Done {
        let worker = &mut self.state.workers[at];
        if worker.life == Life::Crashed {
            return None;
        }
        let owner = worker.owner(at);
        let unacked = worker.take_live();
        let beat = worker.beat.take();
        *worker = Worker { life: Life::Crashed, start: worker.start, ..Worker::default() };
        self.give_back(&unacked);
        if let Some(beat) = beat {
            self.set_adrift(owner, beat);
        }
        Some(())
    }

    pub(super) fn restart(&mut self, worker: usize) -> Done {
        let worker = &mut self.state.workers[worker];
        if worker.life != Life::Crashed {
            return None;
        }
        (worker.life, worker.start) = (Life::Running, worker.start + 1);
        Some(())
    }

    pub(super) fn stop(&mut self, worker: usize) -> Done {
        self.running(worker)?.life = Life::Stopped;
        Some(())
    }

    pub(super) fn go_on(&mut self, worker: usize) -> Done {
        let worker = &mut self.state.workers[worker];
        (worker.life == Life::Stopped).then(|| worker.life = Life::Running)
    }
}

impl How {
    /// As the worker classifies it.
    fn ended(self) -> Ended {
        let target = || "disk-a".parse().expect("a target's name");
        match self {
            Self::Done => Ended::Done { warning: false },
            Self::FailedForNow => Ended::Failed { retryable: true, error: String::new() },
            Self::FailedForGood => Ended::Failed { retryable: false, error: String::new() },
            Self::TimedOut => Ended::TimedOut { limit: std::time::Duration::from_secs(1) },
            Self::Busy => Ended::Postponed(Postponed::Busy(target())),
            Self::Detached => Ended::Postponed(Postponed::Detached(target())),
            Self::Interrupted => Ended::Interrupted,
        }
    }
}
