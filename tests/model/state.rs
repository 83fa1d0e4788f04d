//! The whole world at one moment.

use shared::task::Ended;

use super::clock::{Clocks, Millis};
use super::database::{Database, Owner, Publication, TaskNo};
use super::happened::Happened;
use super::operation::{Answer, Leased, Operation, Wish};
use super::{TASKS, WORKERS};

/// Everything that the protocol is made of.
#[derive(Debug, Clone)]
pub struct State {
    /// What time it is.
    pub clocks: Clocks,
    /// What the database remembers.
    pub database: Database,
    /// Copies of each task's message that are in its queue; the unacknowledged ones are with the workers.
    pub ready: [u32; TASKS],
    /// The workers.
    pub workers: [Worker; WORKERS],
    /// What the relay has taken and not finished.
    pub relay: Vec<Taken>,
    /// Heartbeats on their way that their workers gave up.
    pub strays: Vec<(Owner, Vec<(TaskNo, i64)>)>,
    /// What operations did outside the database, in its order; nothing is ever taken out.
    pub effects: Vec<Effect>,
    /// What the last step did.
    pub last: Last,
}

/// What one step did.
#[derive(Debug, Clone, Default)]
pub struct Last {
    /// Whether its event could happen at all; nothing has changed otherwise.
    pub possible: bool,
    /// What it meant.
    pub happened: Vec<Happened>,
    /// The transaction that was committed in it, with its answer.
    pub committed: Option<(Operation, Answer)>,
}

/// An operation changed the world outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// For which task.
    pub task: TaskNo,
    /// As which owner.
    pub epoch: i64,
    /// When.
    pub at: Clocks,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    /// It runs.
    Running,
    /// It was stopped by SIGSTOP; its operations are processes of their own, and go on.
    Stopped,
    /// It is gone, and its operations with it: they end when their worker's end of the pipe closes.
    Crashed,
}

/// A worker.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Whether it runs.
    pub life: Life,
    /// How often it was started.
    pub start: u32,
    /// Whether its last heartbeat succeeded.
    pub healthy: bool,
    /// Deliveries that wait for their claim.
    pub inbox: Vec<Delivery>,
    /// The claim that it waits for.
    pub claim: Option<Claim>,
    /// Deliveries that are committed and can be acknowledged.
    pub settled: Vec<TaskNo>,
    /// The heartbeat that it waits for.
    pub beat: Option<Beat>,
    /// What it believes to hold; of one task the later attempt took the place of the earlier.
    pub attempts: Vec<Attempt>,
}

/// A delivered copy of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Of which task.
    pub task: TaskNo,
    /// Whether the broker still waits for its acknowledgement.
    pub live: bool,
}

/// A claim under way.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Taken before it was asked for.
    pub deadline: Millis,
    /// What is claimed.
    pub batch: Vec<(Delivery, Wish)>,
    /// What the database answered once it has committed.
    pub landed: Option<Vec<Leased>>,
}

/// A heartbeat under way.
#[derive(Debug, Clone)]
pub struct Beat {
    /// Taken before it was asked for.
    pub deadline: Millis,
    /// What it is to extend.
    pub held: Vec<(TaskNo, i64)>,
    /// What it has extended.
    pub landed: Option<Vec<(TaskNo, i64)>>,
}

/// An attempt as its worker sees it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The task with its attempt.
    pub leased: Leased,
    /// Until when its operation may go on.
    pub deadline: Millis,
    /// Whether a heartbeat said that the lease is lost.
    pub told_fenced: bool,
    /// How it ended, once it has; it is not recorded yet then, or nobody has heard of that.
    pub ended: Option<Ended>,
}

/// A publication in the hands of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub publication: Publication,
    /// What became of it.
    pub answer: Option<Confirm>,
}

/// What the broker said to a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// It has the message.
    Heard,
    /// It has the message, but that was not heard.
    Lost,
    /// The message did not arrive.
    NeverArrived,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            life: Life::Running,
            start: 1,
            healthy: true,
            inbox: Vec::new(),
            claim: None,
            settled: Vec::new(),
            beat: None,
            attempts: Vec::new(),
        }
    }
}

impl Default for State {
    /// Nothing has happened yet.
    fn default() -> Self {
        Self {
            clocks: Clocks::default(),
            database: Database::default(),
            ready: [0; TASKS],
            workers: std::array::from_fn(|_| Worker::default()),
            relay: Vec::new(),
            strays: Vec::new(),
            effects: Vec::new(),
            last: Last::default(),
        }
    }
}

impl Worker {
    /// Its identity in the database.
    #[must_use]
    pub const fn owner(&self, worker: usize) -> Owner {
        Owner { worker, start: self.start }
    }

    /// Whether it has anything of a task in its hands.
    #[must_use]
    pub fn has(&self, task: TaskNo) -> bool {
        let claimed = self.claim.iter().flat_map(|claim| &claim.batch).map(|(delivery, _)| delivery.task);
        let delivered = self.inbox.iter().map(|delivery| delivery.task);
        let started = self.attempts.iter().map(|attempt| attempt.leased.task);
        claimed.chain(delivered).chain(started).chain(self.settled.iter().copied()).any(|held| held == task)
    }

    /// Every delivery that the broker still waits for, out of its hands.
    pub(super) fn take_live(&mut self) -> Vec<TaskNo> {
        let claimed = self.claim.iter_mut().flat_map(|claim| &mut claim.batch).map(|(delivery, _)| delivery);
        let unsettled = self.inbox.iter_mut().chain(claimed).filter(|delivery| delivery.live);
        let unsettled = unsettled.map(|delivery| {
            delivery.live = false;
            delivery.task
        });
        let mut live: Vec<TaskNo> = unsettled.collect();
        live.append(&mut self.settled);
        live
    }
}

impl Attempt {
    /// Whether its operation still runs.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether its operation may have effects: by its own deadline, which is all that it goes by.
    #[must_use]
    pub const fn may_act(&self, clocks: Clocks) -> bool {
        self.works() && clocks.boot < self.deadline
    }
}
