//! Which copies count: young, whole and present.

use super::super::{Answer, Rule};
use super::*;

/// Whether the NAS counts: without it the source and the cloud are two copies.
fn nas_counts(case: &Case) -> Answer {
    case.answer(Rule::ThreeCopies)
}

#[test]
fn a_restore_point_just_younger_than_the_rpo_counts() {
    let case = Case::with(|case| case.nas.facts.restore_point = point(start() - 26 * HOUR + TICK));
    assert!(nas_counts(&case).passes());
}

#[test]
fn a_restore_point_exactly_as_old_as_the_rpo_does_not_count() {
    let case = Case::with(|case| case.nas.facts.restore_point = point(start() - 26 * HOUR));
    assert_eq!(nas_counts(&case), Answer::Fail);
}

#[test]
fn the_age_of_a_copy_is_that_of_its_data_and_not_of_its_writing() {
    let case = Case::with(|case| {
        let fact = case.nas.facts.restore_point.as_mut().unwrap();
        fact.says.data_time = start() - 27 * HOUR;
    });
    assert_eq!(nas_counts(&case), Answer::Fail);
}

#[test]
fn a_secondary_copy_may_lag_six_hours_behind_the_rpo() {
    let aged = |age| Case::with(|case| case.cloud.facts.restore_point = point(start() - age));
    assert!(aged(32 * HOUR - TICK).answer(Rule::ThreeCopies).passes());
    assert_eq!(aged(32 * HOUR).answer(Rule::ThreeCopies), Answer::Fail);
}

#[test]
fn the_newest_restore_point_on_a_medium_that_is_away_may_be_seven_days_old() {
    let aged = |age| {
        Case::with(|case| {
            case.nas = drawer();
            case.nas.facts.restore_point = point(start() - age);
        })
    };
    assert!(nas_counts(&aged(7 * DAY - TICK)).passes());
    assert_eq!(nas_counts(&aged(7 * DAY)), Answer::Fail);
}

#[test]
fn a_medium_that_is_in_reach_again_has_the_age_limit_of_the_others() {
    let case = Case::with(|case| {
        case.nas = drawer();
        case.nas.facts.whereabouts = fact(start(), Whereabouts::InReach);
        case.nas.facts.listing = fact(start(), true);
    });
    assert_eq!(nas_counts(&case), Answer::Fail);
}

#[test]
fn a_job_without_any_restore_point_fails_and_is_not_unknown() {
    let case = Case::with(|case| case.nas.facts.restore_point = None);
    assert_eq!(nas_counts(&case), Answer::Fail);
}

#[test]
fn a_single_source_entry_that_could_not_be_read_makes_the_copy_invalid() {
    let case = Case::with(|case| case.nas.facts.restore_point.as_mut().unwrap().says.source_errors = 1);
    assert_eq!(nas_counts(&case), Answer::Fail);
    assert!(case.verdict(Rule::ThreeCopies).reason.contains("1 source entries could not be read"));
}

#[test]
fn a_listing_exactly_24_hours_old_still_proves_presence() {
    let listed = |age| Case::with(|case| case.nas.facts.listing = fact(start() - age, true));
    assert!(nas_counts(&listed(24 * HOUR)).passes());
    assert_eq!(nas_counts(&listed(24 * HOUR + TICK)), Answer::Fail);
}

#[test]
fn an_inventory_exactly_35_days_old_still_proves_presence() {
    let scanned = |age| {
        Case::with(|case| {
            case.nas = drawer();
            case.nas.facts.inventory = fact(start() - age, true);
        })
    };
    assert!(nas_counts(&scanned(35 * DAY)).passes());
    assert_eq!(nas_counts(&scanned(35 * DAY + TICK)), Answer::Fail);
}

#[test]
fn presence_that_was_never_observed_is_unknown() {
    let case = Case::with(|case| case.nas.facts.listing = None);
    assert_eq!(nas_counts(&case), Answer::Unknown);
}

#[test]
fn a_listing_that_did_not_find_the_copy_is_a_failure() {
    let case = Case::with(|case| case.nas.facts.listing = fact(start(), false));
    assert_eq!(nas_counts(&case), Answer::Fail);
}

#[test]
fn an_inventory_says_nothing_about_a_copy_in_reach() {
    let case = Case::with(|case| {
        case.nas.facts.listing = None;
        case.nas.facts.inventory = fact(start(), true);
    });
    assert_eq!(nas_counts(&case), Answer::Unknown);
}

#[test]
fn a_listing_says_nothing_about_a_copy_that_is_away() {
    let case = Case::with(|case| {
        case.nas.facts.whereabouts = fact(start(), Whereabouts::Away);
        case.nas.facts.listing = fact(start(), true);
    });
    assert_eq!(nas_counts(&case), Answer::Unknown);
}

#[test]
fn two_entries_for_one_repository_are_one_copy() {
    let case = Case::with(|case| case.cloud.repository = case.nas.repository.clone());
    assert_eq!(case.answer(Rule::ThreeCopies), Answer::Fail);
}

#[test]
fn of_two_entries_for_one_repository_the_better_one_speaks() {
    let case = Case::with(|case| {
        let mut twin = case.nas.clone();
        twin.target = "twin".parse().unwrap();
        case.nas.facts.listing = fact(start(), false);
        case.others.push(twin);
    });
    assert!(case.answer(Rule::ThreeCopies).passes());
}

#[test]
fn two_targets_in_one_failure_domain_are_two_copies() {
    let case = Case::with(|case| case.cloud.place = case.nas.place.clone());
    assert!(case.answer(Rule::ThreeCopies).passes());
}
