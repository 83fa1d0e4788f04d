//! The model's clocks and the spans that the protocol counts in.

/// A point in time or a span, in milliseconds.
pub type Millis = i64;

/// The two clocks that the protocol goes by. They run at one rate: a drift between them is not modelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The database's wall clock, by which leases and waits are kept. Somebody may set it.
    pub database: Millis,
    /// The machines' clock that counts suspend, by which owners fence themselves. Nobody can set it.
    pub boot: Millis,
}

impl Clocks {
    /// By how much somebody has set the database's clock forward.
    #[must_use]
    pub const fn skew(self) -> Millis {
        self.database - self.boot
    }
}

/// `'infinity'`.
pub const NEVER: Millis = Millis::MAX;
/// How long a lease is granted for.
pub const LEASE: Millis = 15_000;
/// What `shared::db::task::take_due` gives a relay for its confirms.
pub(super) const CONFIRM: Millis = 30_000;
/// When `shared::db::task::publish_again` has a row published again.
pub(super) const SOON: Millis = 1_000;
/// How long a confirmed message may lie unclaimed before it is published again.
pub const REPUBLISH_AFTER: Millis = 60_000;
/// How long a task is parked that finds no slot.
pub(super) const PARK: Millis = 10_000;
/// What is enqueued for later waits for so long.
pub(super) const LATER: Millis = 20_000;
/// How far somebody sets the database's clock.
pub const CLOCK_STEP: Millis = 600_000;
