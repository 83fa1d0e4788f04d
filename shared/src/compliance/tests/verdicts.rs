//! What a verdict says beside its answer.

use Rule::{OneIsolated, OneOffsite, ThreeCopies, ZeroErrors};

use super::*;

#[test]
fn a_job_complies_only_if_all_five_rules_hold() {
    let case = Case::with(|case| case.nas.facts.read = None);
    assert!(!case.judge().compliant());
    assert_eq!(case.answers().iter().filter(|answer| !answer.passes()).count(), 1);
}

#[test]
fn a_verdict_names_its_evidence_and_when_the_earliest_of_it_expires() {
    let case = Case::compliant();
    let verdict = case.verdict(OneOffsite);
    let facts = &case.cloud.facts;
    let (point, listing) = (facts.restore_point.as_ref().unwrap(), facts.listing.as_ref().unwrap());
    assert_eq!(verdict.evidence, [point.evidence, listing.evidence]);
    assert_eq!(verdict.expires_at, Some(listing.at + 24 * HOUR));
}

#[test]
fn the_warning_begins_when_less_than_a_fifth_of_a_window_is_left() {
    let read = |age| Case::with(|case| case.nas.facts.read = check(start() - age, true));
    assert_eq!(read(24 * DAY).answer(ZeroErrors), Answer::Pass);
    assert_eq!(read(24 * DAY + TICK).answer(ZeroErrors), Answer::Warning);
    assert_eq!(read(24 * DAY + TICK).answer(ThreeCopies), Answer::Pass);
}

#[test]
fn a_restore_point_warns_as_well() {
    let case = Case::with(|case| {
        case.policy.rpo = 10 * HOUR;
        case.nas.facts.restore_point = point(start() - 8 * HOUR);
    });
    assert_eq!(case.answer(ThreeCopies), Answer::Pass);
    assert_eq!(case.later(TICK).answer(ThreeCopies), Answer::Warning);
}

#[test]
fn a_lock_warns_in_the_last_fifth_of_the_time_in_which_it_counts() {
    let case = Case::with(|case| {
        // It counts for ten days: from its reading until seven days are left.
        case.cloud.facts.lock = fact(start() - 8 * DAY, start() + 9 * DAY);
    });
    assert_eq!(case.answer(OneIsolated), Answer::Pass);
    assert_eq!(case.later(TICK).answer(OneIsolated), Answer::Warning);
}

#[test]
fn zones_never_change_a_verdict() {
    let zone = chrono::FixedOffset::east_opt(5 * 3600 + 1800).unwrap();
    let elsewhere = start().with_timezone(&zone).with_timezone(&Utc);
    let case = Case::with(|case| case.now = elsewhere);
    assert_eq!(case.answers(), Case::compliant().answers());
}
