//! The exact test of each rule over the copies that count.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::counted::{Count, Counted, Holds, Proof};
use super::{
    Answer, Copy, DELETE_PROBE_WINDOW, LOCK_MARGIN, Policy, READ_WINDOW, RESTORE_WINDOW, Rule, Verdict,
};
use crate::evidence::{Check, Fact, Whereabouts};
use crate::job::Place;
use crate::target::Isolation;

/// A verdict and the moment at which time alone can change it.
pub(super) type Judged = (Verdict, Option<DateTime<Utc>>);

/// Distinct valid copies and the source make three; `strict` needs three backups.
pub(super) fn three_copies(policy: &Policy, count: &Count) -> Judged {
    let backups = count.sure().count();
    let possible = count.possible().count();
    let needed = if policy.strict { 3 } else { 2 };
    let counts = format!("the source and {backups} backups{}, {needed} backups needed", count.word());
    if backups >= needed {
        passed(Rule::ThreeCopies, counts, &proofs_of(count.sure()), count.now)
    } else {
        let holds = if possible >= needed { Holds::Unknown } else { Holds::No };
        refused(Rule::ThreeCopies, holds, format!("{counts}; {}", count.shortfall()), count)
    }
}

/// Two classes of media and two failure domains among the copies that count, the source included unless `strict`.
pub(super) fn two_media(policy: &Policy, count: &Count) -> Judged {
    let variety = |copies: Vec<&Counted>| {
        let source = (!policy.strict).then_some(&policy.source);
        let places: Vec<&Place> = copies.iter().map(|copy| &copy.copy.place).chain(source).collect();
        let media: BTreeSet<_> = places.iter().map(|place| place.media).collect();
        let domains: BTreeSet<_> = places.iter().map(|place| &place.failure_domain).collect();
        (media.len(), domains.len())
    };
    let (media, domains) = variety(count.sure().collect());
    let reason = format!("{media} media classes, {domains} failure domains{}", count.word());
    if media >= 2 && domains >= 2 && count.sure().next().is_some() {
        return passed(Rule::TwoMedia, reason, &proofs_of(count.sure()), count.now);
    }
    let (media, domains) = variety(count.possible().collect());
    let possible = media >= 2 && domains >= 2 && count.possible().next().is_some();
    let holds = if possible { Holds::Unknown } else { Holds::No };
    refused(Rule::TwoMedia, holds, format!("{reason}, 2 of each needed; {}", count.shortfall()), count)
}

/// One valid backup at another site than the source.
pub(super) fn one_offsite(policy: &Policy, count: &Count) -> Judged {
    let offsite = |copy: &&Counted| is_offsite(&policy.source, &copy.copy.place);
    if let Some(copy) = longest(count.sure().filter(offsite)) {
        let word = if copy.reported { ", as another system reported" } else { "" };
        let reason = format!("{} is at {}{word}", copy.copy.target, copy.copy.place.site);
        return passed(Rule::OneOffsite, reason, &copy.proofs().collect::<Vec<_>>(), count.now);
    }
    let holds = if count.possible().any(|copy| offsite(&copy)) { Holds::Unknown } else { Holds::No };
    let reason = format!("no backup that counts is away from {}; {}", policy.source.site, count.shortfall());
    refused(Rule::OneOffsite, holds, reason, count)
}

/// One valid backup that is detached, or immutable on the storage's own word.
pub(super) fn one_isolated(count: &Count, now: DateTime<Utc>) -> Judged {
    let mut best: Option<(String, Vec<Proof>)> = None;
    let mut unknown = None;
    let mut reasons = Vec::new();
    for copy in count.possible() {
        let (isolated, reason, proofs) = isolation(copy, now);
        match isolated.min(copy.holds) {
            Holds::Yes => {
                let proofs: Vec<_> = copy.proofs().chain(proofs).collect();
                let lasts_longer = best.as_ref().is_none_or(|(_, known)| earliest(&proofs) > earliest(known));
                if lasts_longer {
                    best = Some((format!("{}: {reason}", copy.copy.target), proofs));
                }
            }
            Holds::Unknown => {
                unknown.get_or_insert_with(Vec::new).extend(proofs);
                let why = if isolated == Holds::Yes { &copy.reason } else { &reason };
                reasons.push(format!("{}: {why}", copy.copy.target));
            }
            Holds::No => reasons.push(format!("{}: {reason}", copy.copy.target)),
        }
    }
    if let Some((reason, proofs)) = best {
        return passed(Rule::OneIsolated, reason, &proofs, now);
    }
    let holds = if unknown.is_some() { Holds::Unknown } else { Holds::No };
    let reasons = if reasons.is_empty() { count.shortfall() } else { reasons.join("; ") };
    let reason = format!("no backup that counts is isolated; {reasons}");
    let (verdict, due_at) = refused(Rule::OneIsolated, holds, reason, count);
    // Half of an isolation's evidence may be there: when it expires, the other half could not help any more.
    (verdict, due_at.into_iter().chain(earliest(&unknown.unwrap_or_default())).min())
}

/// Every backup that counts was verified at all three levels, and nothing that was found wrong is open.
pub(super) fn zero_errors(policy: &Policy, count: &Count, now: DateTime<Utc>) -> Judged {
    let mut faults = Vec::new();
    let mut proofs = Vec::new();
    for copy in count.sure() {
        match verification(policy, copy, now) {
            Ok(proven) => proofs.extend(proven.into_iter().chain(copy.proofs())),
            Err(fault) => faults.push(format!("{}: {fault}", copy.copy.target)),
        }
    }
    if !faults.is_empty() {
        return refused(Rule::ZeroErrors, Holds::No, faults.join("; "), count);
    }
    let sure = count.sure().count();
    if sure == 0 {
        let holds = if count.possible().next().is_some() { Holds::Unknown } else { Holds::No };
        return refused(Rule::ZeroErrors, holds, format!("no backup counts; {}", count.shortfall()), count);
    }
    passed(Rule::ZeroErrors, format!("{sure} backups verified at every level"), &proofs, now)
}

/// A cloud's copy is off-site if its region or its account differs; anything else if its site does.
fn is_offsite(source: &Place, place: &Place) -> bool {
    // What a definition leaves out is not known to differ.
    let differs = |here: &Option<String>, there: &Option<String>| here.is_some() && here != there;
    if place.region.is_some() || place.account.is_some() {
        differs(&place.region, &source.region) || differs(&place.account, &source.account)
    } else {
        place.site != source.site
    }
}

fn isolation(counted: &Counted, now: DateTime<Utc>) -> (Holds, String, Vec<Proof>) {
    if counted.reported {
        let reason = "another system reported it, and nobody saw it isolated";
        return (Holds::No, reason.to_owned(), Vec::new());
    }
    match counted.copy.isolation {
        Isolation::None => (Holds::No, "its target is not isolated".to_owned(), Vec::new()),
        Isolation::Detached => detachment(counted),
        Isolation::Immutable => immutability(counted.copy, now),
    }
}

fn detachment(counted: &Counted) -> (Holds, String, Vec<Proof>) {
    let no = |reason: &str| (Holds::No, reason.to_owned(), Vec::new());
    let facts = &counted.copy.facts;
    match &facts.whereabouts {
        Some(fact) if fact.says == Whereabouts::Away && Some(fact.at) > facts.written_at => {
            let proofs = lasting(fact, counted);
            (Holds::Yes, "is detached, and a probe could not reach it".to_owned(), proofs)
        }
        Some(fact) if fact.says == Whereabouts::Away => no("was written after it was detached"),
        _ => no("is not detached"),
    }
}

/// A fact that does not expire by itself is worth as much as the restore point that it is about.
fn lasting<T>(fact: &Fact<T>, counted: &Counted) -> Vec<Proof> {
    counted.point.iter().map(|point| Proof { evidence: fact.evidence, ..*point }).collect()
}

fn immutability(copy: &Copy, now: DateTime<Utc>) -> (Holds, String, Vec<Proof>) {
    let no = |reason: &str| (Holds::No, reason.to_owned(), Vec::new());
    let lock = copy.facts.lock.as_ref().map(lock_proof);
    if lock.is_some_and(|proof| proof.is_expired(now)) {
        return no("its lock ends in less than 7 days");
    }
    if copy.facts.delete_probe.as_ref().is_some_and(|probe| !probe.says) {
        return no("the newest try to delete was not refused");
    }
    let probe = copy.facts.delete_probe.as_ref().map(|fact| Proof::from_fact(fact, DELETE_PROBE_WINDOW));
    if probe.is_some_and(|proof| proof.is_expired(now)) {
        return no("the newest refused delete is older than 30 days");
    }
    let (holds, reason) = match (lock, probe) {
        (None, _) => (Holds::Unknown, "its lock was never read"),
        (_, None) => (Holds::Unknown, "a delete was never tried"),
        (Some(_), Some(_)) => (Holds::Yes, "is locked, and refused a delete"),
    };
    (holds, reason.to_owned(), lock.into_iter().chain(probe).collect())
}

/// A lock counts from its reading until only the margin is left of it.
fn lock_proof(lock: &Fact<DateTime<Utc>>) -> Proof {
    let expires_at = lock.says - LOCK_MARGIN;
    let window = (expires_at - lock.at).to_std().unwrap_or(Duration::ZERO);
    Proof { evidence: lock.evidence, expires_at, window }
}

fn verification(policy: &Policy, counted: &Counted, now: DateTime<Utc>) -> Result<Vec<Proof>, String> {
    if counted.reported {
        return Err("another system reported it, and nobody verified it".to_owned());
    }
    let facts = &counted.copy.facts;
    let mut proofs = Vec::new();
    let structure = passing(facts.structure.as_ref(), "structure check")?;
    // Also a check that was recorded later may have looked at the restore point before.
    let checked = structure.says.restore_point;
    if facts
        .restore_point
        .as_ref()
        .is_some_and(|point| point.at > structure.at || point.says.restore_point != checked)
    {
        return Err("no structure check since the newest restore point".to_owned());
    }
    match policy.verify.structure {
        Some(window) => proofs.push(unexpired(structure, window, "structure check", now)?),
        None => proofs.extend(lasting(structure, counted)),
    }
    let read = passing(facts.read.as_ref(), "reading of all data")?;
    proofs.push(unexpired(read, policy.verify.read.min(READ_WINDOW), "reading of all data", now)?);
    let restore = passing(facts.restore_test.as_ref(), "restore test")?;
    proofs.push(unexpired(restore, policy.verify.restore.min(RESTORE_WINDOW), "restore test", now)?);
    Ok(proofs)
}

fn passing<'a>(check: Option<&'a Fact<Check>>, what: &str) -> Result<&'a Fact<Check>, String> {
    match check {
        None => Err(format!("no {what} yet")),
        Some(fact) if fact.says.passed => Ok(fact),
        Some(fact) => Err(format!("the newest {what} failed: {}", fact.says.detail)),
    }
}

fn unexpired(fact: &Fact<Check>, window: Duration, what: &str, now: DateTime<Utc>) -> Result<Proof, String> {
    let proof = Proof::from_fact(fact, window);
    if proof.is_expired(now) {
        return Err(format!("the newest {what} is older than {}", humantime::format_duration(window)));
    }
    Ok(proof)
}

fn proofs_of<'a>(copies: impl Iterator<Item = &'a Counted<'a>>) -> Vec<Proof> {
    copies.flat_map(Counted::proofs).collect()
}

fn earliest(proofs: &[Proof]) -> Option<DateTime<Utc>> {
    proofs.iter().map(|proof| proof.expires_at).min()
}

fn longest<'b, 'a: 'b>(copies: impl Iterator<Item = &'b Counted<'a>>) -> Option<&'b Counted<'a>> {
    copies.max_by_key(|copy| copy.proofs().map(|proof| proof.expires_at).min())
}

fn passed(rule: Rule, reason: String, proofs: &[Proof], now: DateTime<Utc>) -> Judged {
    let warns = proofs.iter().any(|proof| proof.warns_at() < now);
    let changes = proofs.iter().flat_map(|proof| [proof.warns_at(), proof.expires_at]);
    let due_at = changes.filter(|change| *change >= now).min();
    let expires_at = earliest(proofs);
    let answer = if warns { Answer::Warning } else { Answer::Pass };
    let evidence = proofs.iter().map(|proof| proof.evidence).collect();
    (Verdict { rule, answer, reason, evidence, expires_at }, due_at)
}

fn refused(rule: Rule, holds: Holds, reason: String, count: &Count) -> Judged {
    let answer = if holds == Holds::Unknown { Answer::Unknown } else { Answer::Fail };
    let proofs: Vec<_> = proofs_of(count.possible());
    // A copy that leaves the count can turn an unknown into a failure, and take the fault that it has with it.
    let expires_at = earliest(&proofs);
    let evidence = proofs.iter().map(|proof| proof.evidence).collect();
    (Verdict { rule, answer, reason, evidence, expires_at }, expires_at)
}
