//! The transactions of our processes, each applied as a whole, made of the statements in
//! [`database`](super::database). How statements of several transactions interleave is left to the row locks that
//! they take.

use std::time::Duration;

use shared::db::dead_task::Reason;
use shared::task::{Ended, Next, Outcome, Postponed, Tries, after};

use super::clock::{Clocks, Millis, NEVER};
use super::database::{Database, Lease, Owner, Publication, Rows, TaskNo, Waiting};
use super::happened::Happened;
use super::operation::{Answer, Jitter, Leased, Operation, Wish};
use super::protocol::Protocol;
use super::seen::End;

/// The last attempt that may be made.
pub const MAX_ATTEMPTS: i32 = 3;

/// A transaction while it runs.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// What it changes.
    pub database: &'a mut Database,
    /// What time it is.
    pub clocks: Clocks,
    /// By which protocol.
    pub protocol: Protocol,
    /// What it means is added here.
    pub happened: &'a mut Vec<Happened>,
}

impl Transaction<'_> {
    /// Does all of it.
    pub fn perform(mut self, operation: &Operation) -> Answer {
        let clocks = self.clocks;
        match operation {
            Operation::Enqueue { task, wait } => self.enqueue(*task, *wait),
            Operation::Claim { owner, batch } => self.claim(*owner, batch),
            Operation::Heartbeat { owner, held } => {
                let mut kept = held.clone();
                kept.retain(|(task, epoch)| self.database[*task].extend(*owner, *epoch, clocks));
                Answer::Owned(kept)
            }
            Operation::Control { owner } => self.control(*owner),
            Operation::Record { owner, finished, jitter } => {
                let record = |(leased, ended): &(Leased, Ended)| {
                    self.record(*owner, *leased, ended, *jitter).then_some(*leased)
                };
                Answer::Leased(finished.iter().filter_map(record).collect())
            }
            Operation::Reap => self.reap(),
            Operation::TakeDue => {
                let due = TaskNo::all().filter_map(|task| self.database[task].take_due(task, clocks));
                Answer::Due(due.collect())
            }
            Operation::MarkPublished(publications) => {
                self.each_published(publications, |rows, one, this| rows.mark_published(one, this.0, this.1))
            }
            Operation::PublishAgain(publications) => {
                self.each_published(publications, |rows, one, this| rows.publish_again(one, this.0))
            }
            Operation::CancelWaiting(task) => moved([self.database[*task].cancel_waiting()]),
            Operation::CancelRunning(task) => moved([self.database[*task].cancel_running()]),
            Operation::Attach => {
                self.database.attached = true;
                moved(TaskNo::all().map(|task| self.database[task].wake(clocks)))
            }
            Operation::Detach => {
                self.database.attached = false;
                Answer::Moved(0)
            }
        }
    }

    fn each_published(
        &mut self,
        publications: &[Publication],
        mut change: impl FnMut(&mut Rows, Publication, (Clocks, Protocol)) -> bool,
    ) -> Answer {
        let at = (self.clocks, self.protocol);
        moved(TaskNo::all().map(|task| {
            let mut of_task = publications.iter().filter(|publication| publication.task == task);
            // One statement changes a row once, whatever it joins.
            of_task.any(|one| change(&mut self.database[task], *one, at))
        }))
    }

    /// As `producer::outbox::put` does.
    fn enqueue(&mut self, task: TaskNo, wait: Millis) -> Answer {
        let rows = &mut self.database[task];
        let fresh = rows.insert_known(self.protocol);
        if fresh {
            rows.insert_waiting(Waiting::until(self.clocks.database + wait));
        }
        rows.seen.accepted = true;
        moved([fresh])
    }

    fn control(&self, owner: Owner) -> Answer {
        let asked = |task| {
            let lease = self.database[task].lease.as_ref()?;
            (lease.owner == owner && lease.cancelled).then_some((task, lease.epoch))
        };
        Answer::Owned(TaskNo::all().filter_map(asked).collect())
    }

    /// As `worker::claim::transact` and its `park` do.
    fn claim(&mut self, owner: Owner, batch: &[(TaskNo, Wish)]) -> Answer {
        let clocks = self.clocks;
        let mut leased = Vec::new();
        for task in TaskNo::all() {
            // Of one id in a batch the first counts.
            let Some((_, wish)) = batch.iter().find(|(delivered, _)| *delivered == task) else { continue };
            let rows = &mut self.database[task];
            let fresh = rows.insert_known(self.protocol);
            let settled = rows.waiting.is_none() && !fresh;
            let taken = match (wish, fresh) {
                (Wish::Start, true) => rows.insert_fresh(owner, clocks),
                (Wish::Start, false) => rows.take_waiting(owner, clocks),
                (Wish::Park(wait), true) => {
                    rows.insert_waiting(Waiting::until(clocks.database + wait));
                    self.happened.push(Happened::Parked);
                    false
                }
                (Wish::Park(wait), false) => {
                    if rows.put_off(*wait, clocks) {
                        self.happened.push(Happened::PutOff);
                    }
                    false
                }
            };
            if taken {
                leased.extend(rows.lease.as_ref().map(|lease| Leased::of(task, lease)));
            } else if settled {
                self.happened.push(Happened::LateDuplicateRefused);
            } else if *wish == Wish::Start {
                self.happened.push(Happened::EarlyCopyRefused);
            }
        }
        Answer::Leased(leased)
    }

    /// As `worker::record` does with one attempt of its batch; `false` if it was fenced.
    fn record(&mut self, owner: Owner, leased: Leased, ended: &Ended, jitter: Jitter) -> bool {
        let clocks = self.clocks;
        let rows = &mut self.database[leased.task];
        let Some(row) = rows.complete(owner, leased.epoch, self.protocol) else {
            self.happened.push(if rows.seen.commits.iter().any(|commit| commit.epoch == leased.epoch) {
                Happened::RepeatedCommitDiscarded
            } else {
                Happened::FencedCommitDiscarded
            });
            return false;
        };
        rows.seen.committed(leased.epoch);
        let Leased { attempt, rescues, epoch, .. } = leased;
        let next = after(ended, Tries { attempt, max_attempts: MAX_ATTEMPTS, rescues }, jitter.fraction());
        // `Move::of`: an end that would run the task again is overruled by a person.
        let (ended, next) = match next {
            Next::Queued { .. } if row.cancelled => {
                self.happened.push(Happened::RetryOverruledByPerson);
                (Ended::Cancelled { by: String::new() }, Next::Cancelled)
            }
            next => (ended.clone(), next),
        };
        if let Some(outcome) = ended.outcome() {
            rows.record(epoch, attempt, outcome);
        }
        match next {
            Next::Succeeded => rows.seen.ended(End::Succeeded),
            Next::Cancelled => rows.seen.ended(End::Cancelled),
            Next::Queued { after, attempt_counts, rescued } => rows.insert_waiting(Waiting {
                for_target: matches!(ended, Ended::Postponed(Postponed::Detached(_))),
                attempt: attempt - i32::from(!attempt_counts),
                rescues: rescues + i32::from(rescued),
                epoch,
                ..Waiting::until(run_at(after, clocks))
            }),
            Next::Dead => {
                self.happened.push(Happened::DeadByFailure);
                rows.bury(if matches!(ended, Ended::TimedOut { .. }) {
                    Reason::TimedOut
                } else {
                    Reason::Failed
                });
            }
        }
        true
    }

    /// As `producer::reaper::reap` does: `take_expired`, `wake_missed`, then `sort` and `record`.
    fn reap(&mut self) -> Answer {
        let clocks = self.clocks;
        let mut expired = Vec::new();
        for task in TaskNo::all() {
            let attached = self.database.attached;
            let rows = &mut self.database[task];
            let lease = rows.take_expired(clocks);
            if attached && rows.wake(clocks) {
                self.happened.push(Happened::MissedWakeMadeUpFor);
            }
            let Some(lease) = lease else { continue };
            expired.push(Leased::of(task, &lease));
            let ended = if lease.cancelled { Ended::Cancelled { by: String::new() } } else { Ended::Lost };
            let Lease { attempt, rescues, epoch, .. } = lease;
            match after(&ended, Tries { attempt, max_attempts: attempt, rescues }, 0.0) {
                Next::Queued { after, attempt_counts, rescued } => {
                    self.happened.push(Happened::Rescued);
                    rows.insert_waiting(Waiting {
                        attempt: attempt - i32::from(!attempt_counts),
                        rescues: rescues + i32::from(rescued),
                        epoch: epoch + 1,
                        ..Waiting::until(run_at(after, clocks))
                    });
                }
                Next::Cancelled => {
                    self.happened.push(Happened::CancelledWithItsWorkerLost);
                    rows.seen.ended(End::Cancelled);
                }
                Next::Dead | Next::Succeeded => {
                    self.happened.push(Happened::DeadByRescueCap);
                    rows.bury(Reason::Lost);
                }
            }
            rows.record(epoch, attempt, ended.outcome().unwrap_or(Outcome::Lost));
        }
        Answer::Leased(expired)
    }
}

fn moved(rows: impl IntoIterator<Item = bool>) -> Answer {
    Answer::Moved(rows.into_iter().map(u64::from).sum())
}

/// `coalesce(run_at, 'infinity')`.
fn run_at(after: Option<Duration>, clocks: Clocks) -> Millis {
    after.map_or(NEVER, |after| {
        clocks.database + Millis::try_from(after.as_millis()).unwrap_or(Millis::from(u32::MAX))
    })
}
