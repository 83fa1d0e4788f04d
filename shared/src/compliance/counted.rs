//! Which copies count, and the evidence that says so.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{COPY_LAG, Copy, INVENTORY_WINDOW, LISTING_WINDOW, OFFLINE_AGE, Policy, WARNING_SHARE};
use crate::evidence::{EvidenceId, Fact, PointFact, Whereabouts};

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
    /// Whether all that is known of it is another system's word.
    pub(super) reported: bool,
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

    /// How many of those that count were only reported, for people; empty if none was.
    pub(super) fn word(&self) -> String {
        match self.sure().filter(|copy| copy.reported).count() {
            0 => String::new(),
            reported => format!(" ({reported} only reported)"),
        }
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
    let no =
        |reason| Counted { copy, holds: Holds::No, reason, point: None, presence: None, reported: false };
    let (newest, reported) = match newest(policy, copy) {
        Ok(newest) => newest,
        Err(reason) => return no(reason.to_owned()),
    };
    let point = match young(policy, copy, newest, now) {
        Ok(point) => Some(point),
        Err(reason) => return no(reason),
    };
    // Whoever says that it is there says nothing about where nobody looked.
    let (holds, reason, presence) =
        if reported { (Holds::Yes, String::new(), None) } else { presence(copy, now) };
    Counted { copy, holds, reason, point, presence, reported }
}

/// The restore point by which a copy is judged, and whether it was only reported: that counts where it is newer than what was
/// observed, but never under `strict`.
fn newest<'a>(policy: &Policy, copy: &'a Copy) -> Result<(&'a Fact<PointFact>, bool), &'static str> {
    let observed = copy.facts.restore_point.as_ref();
    let is_newer = |reported: &&Fact<PointFact>| {
        observed.is_none_or(|observed| observed.says.data_time < reported.says.data_time)
    };
    match (copy.facts.reported.as_ref().filter(is_newer), observed) {
        (Some(reported), _) if !policy.strict => Ok((reported, true)),
        (_, Some(observed)) => Ok((observed, false)),
        (Some(_), None) => Err("another system reported it, which is not enough under `strict`"),
        (None, None) => Err("no restore point yet"),
    }
}

fn young(policy: &Policy, copy: &Copy, point: &Fact<PointFact>, now: DateTime<Utc>) -> Result<Proof, String> {
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

/// How old the newest restore point may be for the copy to count.
pub(super) fn max_age(policy: &Policy, copy: &Copy) -> Duration {
    if Counted::is_away(copy) {
        OFFLINE_AGE
    } else if copy.primary {
        policy.rpo
    } else {
        policy.rpo + COPY_LAG
    }
}
