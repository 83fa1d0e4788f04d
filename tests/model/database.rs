//! The database: the rows of each task, and one function for each statement of `shared::db` that moves them.

use shared::db::dead_task::Reason;
use shared::task::Outcome;

use super::TASKS;
use super::clock::{CONFIRM, Clocks, LEASE, Millis, NEVER, REPUBLISH_AFTER, SOON};
use super::protocol::{Protocol, Safeguard};
use super::seen::{End, Seen};

/// A task, by its place: ids sort by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskNo(pub usize);

impl TaskNo {
    /// Every task.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TASKS).map(Self)
    }
}

/// A worker's process: it has another id after each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Which worker.
    pub worker: usize,
    /// How often it was started.
    pub start: u32,
}

/// A row of `task`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Not to be claimed earlier.
    pub run_at: Millis,
    /// Whether it waits for the target's return.
    pub for_target: bool,
    /// When the relay takes it.
    pub publish_at: Millis,
    /// How often the relay took it.
    pub publication: i32,
    /// How often the broker confirmed it.
    pub confirmed: i32,
    /// Attempts that counted.
    pub attempt: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
    /// Owners so far.
    pub epoch: i64,
}

impl Waiting {
    /// A row that waits for its time: it is published when that has come.
    #[must_use]
    pub const fn until(run_at: Millis) -> Self {
        let (publication, confirmed) = (0, 0);
        let (attempt, rescues, epoch) = (0, 0, 0);
        Self {
            run_at,
            for_target: false,
            publish_at: run_at,
            publication,
            confirmed,
            attempt,
            rescues,
            epoch,
        }
    }
}

/// A row of `lease`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who has it.
    pub owner: Owner,
    /// The number of the attempt.
    pub attempt: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
    /// The owner's epoch.
    pub epoch: i64,
    /// On the database's clock.
    pub lease_until: Millis,
    /// Whether a person asked for its end.
    pub cancelled: bool,
    /// No column: the clocks' skew when it was granted last.
    pub granted_at_skew: Millis,
}

/// A row of `execution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// The epoch of the attempt.
    pub epoch: i64,
    /// Its number.
    pub attempt: i32,
    /// What came of it.
    pub outcome: Outcome,
}

/// All rows of one task.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Whether `known_id` has it.
    pub known: bool,
    /// Its row of `task`.
    pub waiting: Option<Waiting>,
    /// Its row of `lease`.
    pub lease: Option<Lease>,
    /// Its row of `dead_task`.
    pub dead: Option<Reason>,
    /// Its rows of `execution`.
    pub executions: Vec<Execution>,
    /// No rows: what an observer of everything writes down.
    pub seen: Seen,
}

/// A publication that the relay has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Publication {
    /// Of which task.
    pub task: TaskNo,
    /// Owners so far.
    pub epoch: i64,
    /// Publications since the last one.
    pub number: i32,
}

/// The tables.
#[derive(Debug, Clone)]
pub struct Database {
    rows: [Rows; TASKS],
    /// Whether the target that tasks wait for is attached.
    pub attached: bool,
}

impl Default for Database {
    /// Without a task, and with the target at its place.
    fn default() -> Self {
        Self { rows: std::array::from_fn(|_| Rows::default()), attached: true }
    }
}

impl std::ops::Index<TaskNo> for Database {
    type Output = Rows;

    fn index(&self, task: TaskNo) -> &Rows {
        &self.rows[task.0]
    }
}

impl std::ops::IndexMut<TaskNo> for Database {
    fn index_mut(&mut self, task: TaskNo) -> &mut Rows {
        &mut self.rows[task.0]
    }
}

impl Rows {
    /// `known_id::insert`: whether the id was not known before.
    pub(super) fn insert_known(&mut self, protocol: Protocol) -> bool {
        let forgotten =
            !protocol.has(Safeguard::Deduplication) && self.waiting.is_none() && self.lease.is_none();
        let fresh = !self.known || forgotten;
        self.known = true;
        fresh
    }

    /// `task::insert`.
    pub(super) fn insert_waiting(&mut self, row: Waiting) {
        if self.waiting.is_some() {
            self.seen.broken_constraint = Some("task_pkey");
            return;
        }
        self.waiting = Some(row);
    }

    /// `lease::insert_fresh`.
    pub(super) fn insert_fresh(&mut self, owner: Owner, clocks: Clocks) -> bool {
        if self.lease.is_some() {
            self.seen.broken_constraint = Some("lease_pkey");
            return false;
        }
        self.grant(owner, clocks, 1, 0, 1);
        true
    }

    /// `lease::take_waiting`: `run_at <= now()`, then `attempt + 1`, `epoch + 1`.
    pub(super) fn take_waiting(&mut self, owner: Owner, clocks: Clocks) -> bool {
        let Some(row) = self.waiting.take_if(|row| row.run_at <= clocks.database) else { return false };
        if self.lease.is_some() {
            self.seen.broken_constraint = Some("lease_pkey");
            return false;
        }
        self.grant(owner, clocks, row.attempt + 1, row.rescues, row.epoch + 1);
        true
    }

    fn grant(&mut self, owner: Owner, clocks: Clocks, attempt: i32, rescues: i32, epoch: i64) {
        let lease_until = clocks.database + LEASE;
        let granted_at_skew = clocks.skew();
        self.lease =
            Some(Lease { owner, attempt, rescues, epoch, lease_until, cancelled: false, granted_at_skew });
        self.seen.granted(epoch);
    }

    /// `task::put_off`: only `run_at <= now()`, with another number of the publication.
    pub(super) fn put_off(&mut self, wait: Millis, clocks: Clocks) -> bool {
        let Some(row) = self.waiting.as_mut().filter(|row| row.run_at <= clocks.database) else {
            return false;
        };
        (row.run_at, row.publish_at) = (clocks.database + wait, clocks.database + wait);
        row.publication += 1;
        row.confirmed = 0;
        true
    }

    /// `task::take_due`: `publish_at <= now()`, which other relays then leave alone until a confirm is overdue.
    pub(super) fn take_due(&mut self, task: TaskNo, clocks: Clocks) -> Option<Publication> {
        let row = self.waiting.as_mut().filter(|row| row.publish_at <= clocks.database)?;
        row.publish_at = clocks.database + CONFIRM;
        row.publication += 1;
        Some(Publication { task, epoch: row.epoch, number: row.publication })
    }

    /// The rows of `task::mark_published` and `task::publish_again`: this publication, `publish_at < 'infinity'`.
    fn published(&mut self, publication: Publication) -> Option<&mut Waiting> {
        self.waiting.as_mut().filter(|row| {
            (row.epoch, row.publication) == (publication.epoch, publication.number) && row.publish_at < NEVER
        })
    }

    /// `task::mark_published`: due again after a while, each time twice as late.
    pub(super) fn mark_published(
        &mut self,
        publication: Publication,
        clocks: Clocks,
        protocol: Protocol,
    ) -> bool {
        let Some(row) = self.published(publication) else { return false };
        let again = REPUBLISH_AFTER << row.confirmed.min(8);
        row.publish_at = if protocol.has(Safeguard::Republication) { clocks.database + again } else { NEVER };
        row.confirmed += 1;
        true
    }

    /// `task::publish_again`.
    pub(super) fn publish_again(&mut self, publication: Publication, clocks: Clocks) -> bool {
        let Some(row) = self.published(publication) else { return false };
        row.publish_at = clocks.database + SOON;
        true
    }

    /// `task::wake` and `task::wake_missed`, whose target is attached.
    pub(super) fn wake(&mut self, clocks: Clocks) -> bool {
        let Some(row) = self.waiting.as_mut().filter(|row| row.for_target) else { return false };
        (row.run_at, row.publish_at, row.for_target) = (clocks.database, clocks.database, false);
        true
    }

    /// `task::cancel`: takes the row out and records that.
    pub(super) fn cancel_waiting(&mut self) -> bool {
        let Some(row) = self.waiting.take() else { return false };
        self.record(row.epoch, row.attempt, Outcome::Cancelled);
        self.seen.asked_to_end();
        self.seen.ended(End::Cancelled);
        true
    }

    /// `lease::cancel`.
    pub(super) fn cancel_running(&mut self) -> bool {
        let Some(lease) = self.lease.as_mut() else { return false };
        lease.cancelled = true;
        self.seen.asked_to_end();
        true
    }

    /// `lease::heartbeat`: this worker, this epoch, `lease_until > now()`.
    pub(super) fn extend(&mut self, owner: Owner, epoch: i64, clocks: Clocks) -> bool {
        let kept = |lease: &&mut Lease| {
            lease.owner == owner && lease.epoch == epoch && lease.lease_until > clocks.database
        };
        let Some(lease) = self.lease.as_mut().filter(kept) else { return false };
        lease.lease_until = clocks.database + LEASE;
        lease.granted_at_skew = clocks.skew();
        true
    }

    /// `lease::complete`: takes the lease out if it is still of this worker and epoch, expired or not.
    pub(super) fn complete(&mut self, owner: Owner, epoch: i64, protocol: Protocol) -> Option<Lease> {
        let by_worker = protocol.has(Safeguard::Fencing);
        let by_epoch = by_worker && protocol.has(Safeguard::FencingByEpoch);
        self.lease
            .take_if(|lease| (lease.owner == owner || !by_worker) && (lease.epoch == epoch || !by_epoch))
    }

    /// `lease::take_expired`: `lease_until < now()`.
    pub(super) fn take_expired(&mut self, clocks: Clocks) -> Option<Lease> {
        let lease = self.lease.take_if(|lease| lease.lease_until < clocks.database)?;
        if clocks.skew() > lease.granted_at_skew {
            self.seen.expired_early(lease.epoch);
        }
        Some(lease)
    }

    /// `dead_task::insert`.
    pub(super) fn bury(&mut self, reason: Reason) {
        if self.dead.is_some() {
            self.seen.broken_constraint = Some("dead_task_pkey");
            return;
        }
        self.dead = Some(reason);
        self.seen.ended(End::Dead);
    }

    /// `execution::insert`.
    pub(super) fn record(&mut self, epoch: i64, attempt: i32, outcome: Outcome) {
        self.executions.push(Execution { epoch, attempt, outcome });
    }
}
