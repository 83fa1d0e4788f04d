//! What an observer of everything writes down about a task, in no table: the invariants are about it.

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A result was committed.
    Succeeded,
    /// A person ended it.
    Cancelled,
    /// It died.
    Dead,
}

/// A transaction that recorded the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Of which owner.
    pub epoch: i64,
    /// The newest epoch that had been granted by then.
    pub newest: i64,
}

/// The notes.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a note about something else")]
pub struct Seen {
    /// The newest epoch that was granted; 0 before the first.
    pub newest: i64,
    /// Whether an epoch was granted that is not newer than all before.
    pub epoch_reused: bool,
    /// Epochs whose lease was taken for expired after somebody had set the database's clock forward.
    pub early: Vec<i64>,
    /// Ends of attempts, in the order of their commits.
    pub commits: Vec<Commit>,
    /// Committed results.
    pub results: u32,
    /// Ends of the task.
    pub ends: Vec<End>,
    /// Whether a person's wish for its end was taken in.
    pub asked_to_end: bool,
    /// Whether an attempt began after that.
    pub ran_when_asked_to_end: bool,
    /// A constraint that a statement would have broken.
    pub broken_constraint: Option<&'static str>,
    /// Whether the broker confirmed a publication of it, or the outbox took it.
    pub accepted: bool,
    /// Whether it was only in the broker when that was wiped: nobody can know of it any more.
    pub wiped: bool,
    /// Whether a wipe took confirmed copies of its waiting row.
    pub copies_wiped: bool,
}

impl Seen {
    pub(super) fn granted(&mut self, epoch: i64) {
        self.epoch_reused |= epoch <= self.newest;
        self.newest = self.newest.max(epoch);
        self.ran_when_asked_to_end |= self.asked_to_end;
    }

    pub(super) fn expired_early(&mut self, epoch: i64) {
        self.early.push(epoch);
    }

    pub(super) fn committed(&mut self, epoch: i64) {
        self.commits.push(Commit { epoch, newest: self.newest });
    }

    pub(super) const fn asked_to_end(&mut self) {
        self.asked_to_end = true;
    }

    pub(super) fn ended(&mut self, end: End) {
        self.results += u32::from(end == End::Succeeded);
        self.ends.push(end);
    }
}
