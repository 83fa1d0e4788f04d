//! The protocol, and what becomes of it with a safeguard taken out.

use super::words::words;

words! {
    /// What the protocol stands on.
    Safeguard {
        /// The completion of an attempt asks for its worker and its epoch.
        Fencing,
        /// The completion of an attempt asks for its epoch.
        FencingByEpoch,
        /// An operation ends at the deadline of its lease.
        SelfFencing,
        /// The deadline is taken before a lease is asked for, not when the answer has come.
        EarlyDeadline,
        /// A delivery is acknowledged after the commit that made it superfluous, not when it comes.
        AckAfterCommit,
        /// `known_id` remembers an id when its task neither waits nor runs any more.
        Deduplication,
        /// What is confirmed but not claimed is published again in the end.
        Republication,
    }
}

/// The protocol, whole or with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    missing: Option<Safeguard>,
}

impl Protocol {
    /// As it is.
    pub const REAL: Self = Self { missing: None };

    /// With a fault.
    #[must_use]
    pub const fn without(safeguard: Safeguard) -> Self {
        Self { missing: Some(safeguard) }
    }

    pub(super) fn has(self, safeguard: Safeguard) -> bool {
        self.missing != Some(safeguard)
    }
}
