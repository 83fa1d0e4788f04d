//! The evidence that there is of a copy, whether a rule uses it or not, and until when each piece counts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::counted::max_age;
use super::{
    Copy, DELETE_PROBE_WINDOW, INVENTORY_WINDOW, LISTING_WINDOW, LOCK_MARGIN, Policy, READ_WINDOW,
    RESTORE_WINDOW,
};
use crate::evidence::{Check, EvidenceId, Fact, PointFact, Whereabouts};

/// The newest piece of evidence of one kind about a copy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// The row it comes from.
    pub evidence: EvidenceId,
    /// Its kind, as [`crate::evidence::Finding::kind`] has it.
    pub kind: &'static str,
    /// When it was observed.
    pub observed_at: DateTime<Utc>,
    /// Whether it speaks for the copy.
    pub good: bool,
    /// Until when it counts; `None` where that hangs on other evidence.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Held {
    /// Whether it speaks for the copy at a moment.
    #[must_use]
    pub fn counts_at(&self, now: DateTime<Utc>) -> bool {
        self.good && self.expires_at.is_none_or(|end| now <= end)
    }
}

/// What there is of a copy, in the order in which rules look at it.
#[must_use]
pub fn held(policy: &Policy, copy: &Copy) -> Vec<Held> {
    let facts = &copy.facts;
    let structure = policy.verify.structure;
    let read = policy.verify.read.min(READ_WINDOW);
    let restore = policy.verify.restore.min(RESTORE_WINDOW);
    let away = |fact: &Fact<Whereabouts>| fact.says == Whereabouts::Away;
    let kind = if facts.whereabouts.as_ref().is_some_and(away) { "detached" } else { "reached" };
    [
        facts.restore_point.as_ref().map(|fact| point("restore_point", fact, max_age(policy, copy))),
        facts.reported.as_ref().map(|fact| point("reported", fact, max_age(policy, copy))),
        facts.listing.as_ref().map(|fact| plain("listing", fact, fact.says, Some(LISTING_WINDOW))),
        facts.inventory.as_ref().map(|fact| plain("inventory", fact, fact.says, Some(INVENTORY_WINDOW))),
        facts.whereabouts.as_ref().map(|fact| plain(kind, fact, true, None)),
        facts.structure.as_ref().map(|fact| check("structure", fact, structure)),
        facts.read.as_ref().map(|fact| check("read", fact, Some(read))),
        facts.restore_test.as_ref().map(|fact| check("restore_test", fact, Some(restore))),
        facts.lock.as_ref().map(|fact| Held {
            expires_at: Some(fact.says - LOCK_MARGIN),
            ..plain("lock", fact, true, None)
        }),
        facts
            .delete_probe
            .as_ref()
            .map(|fact| plain("delete_probe", fact, fact.says, Some(DELETE_PROBE_WINDOW))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn point(kind: &'static str, fact: &Fact<PointFact>, age: Duration) -> Held {
    let good = fact.says.source_errors == 0;
    Held { expires_at: Some(fact.says.data_time + age), ..plain(kind, fact, good, None) }
}

fn check(kind: &'static str, fact: &Fact<Check>, window: Option<Duration>) -> Held {
    plain(kind, fact, fact.says.passed, window)
}

fn plain<T>(kind: &'static str, fact: &Fact<T>, good: bool, window: Option<Duration>) -> Held {
    let expires_at = window.map(|window| fact.at + window);
    Held { evidence: fact.evidence, kind, observed_at: fact.at, good, expires_at }
}
