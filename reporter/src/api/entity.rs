//! What can be read.

use std::time::Duration;

use shared::access::Role;
use shared::db::page::Listing;

/// A kind of thing of which there are lists.
#[derive(Debug)]
pub struct Entity {
    /// Where it is, below `/api/v1`.
    pub path: &'static str,
    /// What one is called.
    pub one: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Who may read it.
    pub role: Role,
    /// For how long an answer is kept.
    pub lasting: Lasting,
    /// As what a page of one job's is kept, where not as the others.
    pub of_job: Option<Kept>,
    /// As what one by its key is kept, where not as pages.
    pub single: Option<Kept>,
    /// What the key is called in the path by which one is read, if each can be: as where it is commanded.
    pub item: Option<&'static str>,
    /// What is read.
    pub listing: Listing,
}

/// For how long answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Until the version of this name changes, and no longer than this by default.
    Version(&'static str, Duration),
    /// Until the job that it is about is judged anew, and no longer than this by default.
    Judgement(Duration),
    /// No longer than this by default: whatever changes it counts nothing, because many do it at once.
    Moment(Duration),
    /// No longer than this by default: nothing changes it any more.
    Settled(Duration),
    /// They are not kept.
    Never,
}

/// How old an answer about what workers do may be.
pub(super) const MOMENT: Lasting = Lasting::Moment(Duration::from_secs(2));

/// How old an answer about a job may be that only its judgements change.
pub(super) const UNTIL_JUDGED: Lasting = Lasting::Judgement(Duration::from_mins(5));

/// What answers are kept of.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Its name in settings and metrics.
    pub name: &'static str,
    /// For how long.
    pub lasting: Lasting,
}

impl Kept {
    /// For how long by default; not at all for zero.
    #[must_use]
    pub const fn by_default(self) -> Duration {
        match self.lasting {
            Lasting::Version(_, lasting)
            | Lasting::Judgement(lasting)
            | Lasting::Moment(lasting)
            | Lasting::Settled(lasting) => lasting,
            Lasting::Never => Duration::ZERO,
        }
    }
}

impl Entity {
    /// As what pages are kept.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        Kept { name: self.path, lasting: self.lasting }
    }

    /// All as which something of it is kept.
    pub(super) fn all_kept(&self) -> impl Iterator<Item = Kept> {
        [Some(self.kept()), self.of_job, self.single].into_iter().flatten()
    }
}
