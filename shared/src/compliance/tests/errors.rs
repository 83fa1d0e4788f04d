//! No error when recovery is verified.

use Rule::ZeroErrors;

use super::*;

type CheckOf = fn(&mut Facts) -> &mut Option<Fact<Check>>;

#[test]
fn every_counted_backup_needs_every_check() {
    let checks: [CheckOf; 3] =
        [|facts| &mut facts.structure, |facts| &mut facts.read, |facts| &mut facts.restore_test];
    for check_of in checks {
        let missing = Case::with(|case| *check_of(&mut case.nas.facts) = None);
        assert_eq!(missing.answer(ZeroErrors), Answer::Fail);
        let failed = Case::with(|case| *check_of(&mut case.cloud.facts) = check(start(), false));
        assert_eq!(failed.answer(ZeroErrors), Answer::Fail);
        assert!(failed.verdict(ZeroErrors).reason.contains("pack 7f is damaged"));
    }
}

#[test]
fn a_later_check_that_passes_closes_a_failure() {
    let case = Case::with(|case| {
        case.nas.facts.read = check(start() - DAY, false);
    });
    assert_eq!(case.answer(ZeroErrors), Answer::Fail);
    let case = Case::with(|case| case.nas.facts.read = check(start(), true));
    assert!(case.answer(ZeroErrors).passes());
}

#[test]
fn a_structure_check_older_than_the_newest_restore_point_fails() {
    let checked_at = |at| Case::with(|case| case.nas.facts.structure = check(at, true));
    let written = start() - 2 * HOUR;
    assert!(checked_at(written).answer(ZeroErrors).passes());
    assert_eq!(checked_at(written - TICK).answer(ZeroErrors), Answer::Fail);
}

#[test]
fn data_read_thirty_days_ago_still_counts() {
    let read = |age| Case::with(|case| case.nas.facts.read = check(start() - age, true));
    assert!(read(30 * DAY).answer(ZeroErrors).passes());
    assert_eq!(read(30 * DAY + TICK).answer(ZeroErrors), Answer::Fail);
}

#[test]
fn a_restore_test_ninety_days_ago_still_counts() {
    let tested = |age| Case::with(|case| case.nas.facts.restore_test = check(start() - age, true));
    assert!(tested(90 * DAY).answer(ZeroErrors).passes());
    assert_eq!(tested(90 * DAY + TICK).answer(ZeroErrors), Answer::Fail);
}

#[test]
fn a_job_may_tighten_a_window() {
    let case = Case::with(|case| {
        case.policy.verify = VerifyWindows { structure: Some(HOUR), read: 2 * DAY, restore: 3 * DAY };
    });
    assert!(case.answer(ZeroErrors).passes());
    assert_eq!(case.later(TICK).answer(ZeroErrors), Answer::Fail);
    for verify in [
        VerifyWindows { structure: None, read: HOUR, restore: 90 * DAY },
        VerifyWindows { structure: None, read: 30 * DAY, restore: HOUR },
    ] {
        let case = Case::with(|case| case.policy.verify = verify).later(TICK);
        assert_eq!(case.answer(ZeroErrors), Answer::Fail);
    }
}

#[test]
fn no_job_widens_a_window() {
    let case = Case::with(|case| {
        case.policy.verify = VerifyWindows { structure: None, read: 300 * DAY, restore: 900 * DAY };
        case.nas.facts.read = check(start() - 31 * DAY, true);
    });
    assert_eq!(case.answer(ZeroErrors), Answer::Fail);
}

#[test]
fn an_unverified_copy_whose_validity_is_unknown_does_not_fail_zero_errors() {
    let unknown = Copy { facts: Facts { listing: None, structure: None, ..drawer().facts }, ..drawer() };
    let unknown = Copy { facts: Facts { inventory: None, ..unknown.facts }, ..unknown };
    let case = Case::with(|case| case.others.push(unknown));
    assert!(case.answer(ZeroErrors).passes());
}

#[test]
fn an_unverified_copy_that_does_not_count_does_not_fail_zero_errors() {
    let stale = Facts { restore_point: point(start() - 9 * DAY), ..Facts::default() };
    let case = Case::with(|case| case.others.push(Copy { facts: stale, ..drawer() }));
    assert!(case.answer(ZeroErrors).passes());
}

#[test]
fn nothing_that_counts_is_never_free_of_errors() {
    let nothing = |case: &mut Case| {
        case.nas.facts = Facts::default();
        case.cloud.facts = Facts::default();
    };
    assert_eq!(Case::with(nothing).answers(), [Answer::Fail; 5]);
}
