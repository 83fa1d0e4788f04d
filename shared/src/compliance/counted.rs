//! Which copies count, and the evidence that says so.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{COPY_LAG, Copy, INVENTORY_WINDOW, LISTING_WINDOW, OFFLINE_AGE, Policy, WARNING_SHARE};
use crate::evidence::{EvidenceId, Fact, Whereabouts};

/// Whether something holds: an unknown would hold if what was never observed were good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    No,
    Unknown,
    Yes,
}

/// Evidence in use, with the window in which it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof {
    pub(super) evidence: EvidenceId,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) window: Duration,
}

impl Proof {
    /// A fact that counts for `window` after it was observed.
    pub(super) fn from_fact<T>(fact: &Fact<T>, window: Duration) -> Self {
        Self { evidence: fact.evidence, expires_at: fact.at + window, window }
    }

    /// Evidence still counts exactly at its end.
    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now > self.expires_at
    }

    /// When it enters the last part of its window.
    pub(super) fn warns_at(&self) -> DateTime<Utc> {
        self.expires_at - self.window.mul_f64(WARNING_SHARE)
    }
}

/// A copy and whether it counts.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    pub(super) copy: &'a Copy,
    pub(super) holds: Holds,
    /// Why it does not count for sure.
    pub(super) reason: String,
    /// Its newest restore point, while young enough.
    pub(super) point: Option<Proof>,
    /// That it is present.
    pub(super) presence: Option<Proof>,
}

impl Counted<'_> {
    /// The evidence that it counts.
    pub(super) fn proofs(&self) -> impl Iterator<Item = Proof> + use<> {
        self.point.into_iter().chain(self.presence)
    }

    /// Its last confirmed whereabouts are out of reach.
    pub(super) fn is_away(copy: &Copy) -> bool {
        copy.facts.whereabouts.as_ref().is_some_and(|fact| fact.says == Whereabouts::Away)
    }
}

/// All copies of a job that are judged, and the moment of the judgement.
pub(super) struct Count<'a> {
    pub(super) copies: Vec<Counted<'a>>,
    pub(super) now: DateTime<Utc>,
}

impl<'a> Count<'a> {
    /// The copies that count for sure.
    pub(super) fn sure(&self) -> impl Iterator<Item = &Counted<'a>> {
        self.copies.iter().filter(|copy| copy.holds == Holds::Yes)
    }

    /// The copies that count, or would if what was never observed were good.
    pub(super) fn possible(&self) -> impl Iterator<Item = &Counted<'a>> {
        self.copies.iter().filter(|copy| copy.holds != Holds::No)
    }

    /// Why the others do not count, for people.
    pub(super) fn shortfall(&self) -> String {
        let reasons: Vec<_> = self
            .copies
            .iter()
            .filter(|copy| copy.holds != Holds::Yes)
            .map(|copy| format!("{}: {}", copy.copy.target, copy.reason))
            .collect();
        if reasons.is_empty() { "no further target".to_owned() } else { reasons.join("; ") }
    }
}

/// Judges each copy; of two entries for one repository the better one speaks.
pub(super) fn count<'a>(policy: &Policy, copies: &'a [Copy], now: DateTime<Utc>) -> Count<'a> {
    let mut best: BTreeMap<&str, Counted<'a>> = BTreeMap::new();
    for copy in copies {
        let judged = judge(policy, copy, now);
        match best.get(copy.repository.as_str()) {
            Some(known) if known.holds >= judged.holds => {}
            _ => {
                best.insert(&copy.repository, judged);
            }
        }
    }
    Count { copies: best.into_values().collect(), now }
}

fn judge<'a>(policy: &Policy, copy: &'a Copy, now: DateTime<Utc>) -> Counted<'a> {
    let point = match newest_point(policy, copy, now) {
        Ok(point) => point,
        Err(reason) => return Counted { copy, holds: Holds::No, reason, point: None, presence: None },
    };
    let (holds, reason, presence) = presence(copy, now);
    Counted { copy, holds, reason, point: Some(point), presence }
}

fn newest_point(policy: &Policy, copy: &Copy, now: DateTime<Utc>) -> Result<Proof, String> {
    let point = copy.facts.restore_point.as_ref().ok_or("no restore point yet")?;
    if point.says.source_errors > 0 {
        return Err(format!("{} source entries could not be read", point.says.source_errors));
    }
    let age = max_age(policy, copy);
    let proof = Proof { evidence: point.evidence, expires_at: point.says.data_time + age, window: age };
    // A restore point exactly as old as its maximum age does not count any more.
    if now >= proof.expires_at {
        return Err(format!("the newest restore point is older than {}", humantime::format_duration(age)));
    }
    Ok(proof)
}

fn presence(copy: &Copy, now: DateTime<Utc>) -> (Holds, String, Option<Proof>) {
    let (newest, window, what) = if Counted::is_away(copy) {
        (&copy.facts.inventory, INVENTORY_WINDOW, "inventory")
    } else {
        (&copy.facts.listing, LISTING_WINDOW, "listing")
    };
    let no = |reason| (Holds::No, reason, None);
    match newest {
        None => (Holds::Unknown, format!("no {what} was ever made"), None),
        Some(fact) if !fact.says => no(format!("the newest {what} did not find it")),
        Some(fact) => {
            let proof = Proof::from_fact(fact, window);
            if proof.is_expired(now) {
                return no(format!("the newest {what} is older than {}", humantime::format_duration(window)));
            }
            (Holds::Yes, String::new(), Some(proof))
        }
    }
}

fn max_age(policy: &Policy, copy: &Copy) -> Duration {
    if Counted::is_away(copy) {
        OFFLINE_AGE
    } else if copy.primary {
        policy.rpo
    } else {
        policy.rpo + COPY_LAG
    }
}
