//! One backup that an attacker cannot reach or cannot delete.

use Rule::{OneIsolated, OneOffsite};

use super::*;

// 1-isolated: immutable

#[test]
fn a_flag_alone_is_no_evidence() {
    let case = Case::with(|case| {
        case.cloud.facts.lock = None;
        case.cloud.facts.delete_probe = None;
    });
    assert_eq!(case.answer(OneIsolated), Answer::Unknown);
    let case = Case::with(|case| case.cloud.isolation = Isolation::Detached);
    assert_eq!(case.answer(OneIsolated), Answer::Fail);
}

#[test]
fn a_lock_counts_while_seven_days_of_it_are_left() {
    let locked = |left| Case::with(|case| case.cloud.facts.lock = fact(start() - DAY, start() + left));
    assert!(locked(7 * DAY).answer(OneIsolated).passes());
    assert_eq!(locked(7 * DAY - TICK).answer(OneIsolated), Answer::Fail);
}

#[test]
fn a_refused_delete_counts_for_thirty_days() {
    let probed = |age| Case::with(|case| case.cloud.facts.delete_probe = fact(start() - age, true));
    assert!(probed(30 * DAY).answer(OneIsolated).passes());
    assert_eq!(probed(30 * DAY + TICK).answer(OneIsolated), Answer::Fail);
}

#[test]
fn a_delete_that_was_not_refused_fails_whatever_the_lock_says() {
    for lock in [fact(start(), start() + 99 * DAY), None] {
        let case = Case::with(|case| {
            case.cloud.facts.lock = lock;
            case.cloud.facts.delete_probe = fact(start(), false);
        });
        assert_eq!(case.answer(OneIsolated), Answer::Fail);
    }
}

#[test]
fn a_lock_that_was_never_read_is_unknown() {
    let case = Case::with(|case| case.cloud.facts.lock = None);
    assert_eq!(case.answer(OneIsolated), Answer::Unknown);
}

#[test]
fn a_delete_that_was_never_tried_is_unknown() {
    let case = Case::with(|case| case.cloud.facts.delete_probe = None);
    assert_eq!(case.answer(OneIsolated), Answer::Unknown);
}

#[test]
fn expired_evidence_fails_even_where_other_evidence_was_never_had() {
    let case = Case::with(|case| {
        case.cloud.facts.lock = None;
        case.cloud.facts.delete_probe = fact(start() - 31 * DAY, true);
    });
    assert_eq!(case.answer(OneIsolated), Answer::Fail);
    let case = Case::with(|case| {
        case.cloud.facts.lock = fact(start() - DAY, start() + DAY);
        case.cloud.facts.delete_probe = None;
    });
    assert_eq!(case.answer(OneIsolated), Answer::Fail);
}

#[test]
fn the_isolated_backup_may_be_the_offsite_one() {
    let case = Case::compliant();
    assert!(case.verdict(OneIsolated).reason.contains("cloud"));
    assert!(case.verdict(OneOffsite).reason.contains("cloud"));
}

#[test]
fn an_isolated_backup_that_does_not_count_helps_nobody() {
    let case = Case::with(|case| case.cloud.facts.listing = fact(start(), false));
    assert_eq!(case.answer(OneIsolated), Answer::Fail);
}

// 1-isolated: detached

fn detached(change: impl FnOnce(&mut Copy)) -> Case {
    Case::with(|case| {
        case.cloud = drawer();
        change(&mut case.cloud);
    })
}

#[test]
fn a_detached_backup_with_an_inventory_is_isolated() {
    assert!(detached(|_| ()).answer(OneIsolated).passes());
}

#[test]
fn a_detached_backup_without_an_inventory_is_unknown() {
    assert_eq!(detached(|copy| copy.facts.inventory = None).answer(OneIsolated), Answer::Unknown);
}

#[test]
fn a_detached_target_that_a_probe_reached_is_not_isolated() {
    let case = detached(|copy| {
        copy.facts.whereabouts = fact(start(), Whereabouts::InReach);
        copy.facts.listing = fact(start(), true);
        copy.facts.restore_point = point(start() - HOUR);
    });
    assert_eq!(case.answer(OneIsolated), Answer::Fail);
    assert!(case.verdict(OneIsolated).reason.contains("is not detached"));
}

#[test]
fn the_detach_must_be_later_than_the_last_write() {
    let gone_at = drawer().facts.whereabouts.unwrap().at;
    let written = |at| detached(|copy| copy.facts.written_at = Some(at));
    assert!(written(gone_at - TICK).answer(OneIsolated).passes());
    assert_eq!(written(gone_at).answer(OneIsolated), Answer::Fail);
    assert!(written(gone_at).verdict(OneIsolated).reason.contains("written after it was detached"));
}

#[test]
fn a_medium_that_is_away_is_isolated_only_if_its_target_promises_to_be() {
    let case = detached(|copy| copy.isolation = Isolation::None);
    assert_eq!(case.answer(OneIsolated), Answer::Fail);
}
