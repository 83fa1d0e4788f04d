//! Enough copies, on enough media, one of them elsewhere.

use Rule::{OneOffsite, ThreeCopies, TwoMedia};

use super::*;

fn strict(change: impl FnOnce(&mut Case)) -> Case {
    Case::with(|case| {
        case.policy.strict = true;
        change(case);
    })
}

// 3-copies

#[test]
fn the_source_and_one_backup_are_too_few() {
    let case = Case::with(|case| case.cloud.facts = Facts::default());
    assert_eq!(case.answer(ThreeCopies), Answer::Fail);
}

#[test]
fn the_verdict_says_how_many_there_are_and_how_many_are_needed() {
    assert_eq!(Case::compliant().verdict(ThreeCopies).reason, "the source and 2 backups, 2 backups needed");
}

#[test]
fn strict_needs_three_backups() {
    assert_eq!(strict(|_| ()).answer(ThreeCopies), Answer::Fail);
    assert!(strict(|case| case.others.push(drawer())).answer(ThreeCopies).passes());
}

// 2-media

#[test]
fn copies_of_one_medium_fail() {
    let case = Case::with(|case| {
        case.nas.place.media = Media::Disk;
        case.cloud.place.media = Media::Disk;
    });
    assert_eq!(case.answer(TwoMedia), Answer::Fail);
}

#[test]
fn media_of_one_failure_domain_fail() {
    let case = Case::with(|case| {
        case.nas.place.failure_domain = "host-1".to_owned();
        case.cloud.place.failure_domain = "host-1".to_owned();
    });
    assert_eq!(case.answer(TwoMedia), Answer::Fail);
}

#[test]
fn the_source_and_one_backup_on_another_medium_are_two_media() {
    let case = Case::with(|case| case.cloud.facts = Facts::default());
    assert!(case.answer(TwoMedia).passes());
}

#[test]
fn under_strict_the_source_is_no_medium() {
    let without_cloud = |case: &mut Case| case.cloud.facts = Facts::default();
    assert_eq!(strict(without_cloud).answer(TwoMedia), Answer::Fail);
    assert!(strict(|_| ()).answer(TwoMedia).passes());
}

#[test]
fn a_medium_that_was_never_looked_for_leaves_two_media_unknown() {
    let case = strict(|case| case.cloud.facts.listing = None);
    assert_eq!(case.answer(TwoMedia), Answer::Unknown);
}

// 1-offsite

#[test]
fn a_backup_at_another_site_is_offsite() {
    let case = Case::with(|case| case.cloud.place = place("branch", "array-9", Media::Nas));
    assert!(case.answer(OneOffsite).passes());
}

#[test]
fn backups_at_the_site_of_the_source_are_not_offsite() {
    let case = Case::with(|case| case.cloud.place = place("hq", "array-9", Media::Object));
    assert_eq!(case.answer(OneOffsite), Answer::Fail);
}

#[test]
fn a_cloud_is_offsite_by_its_region_or_by_its_account() {
    for (region, account, expected) in [
        ("eu-1", "backup", false),
        ("eu-2", "backup", true),
        ("eu-1", "production", true),
        ("eu-2", "production", true),
    ] {
        let case = Case::with(|case| {
            case.policy.source.region = Some(region.to_owned());
            case.policy.source.account = Some(account.to_owned());
        });
        assert_eq!(case.answer(OneOffsite).passes(), expected, "source in {region}, {account}");
    }
}

#[test]
fn another_site_name_does_not_move_a_cloud() {
    let case = Case::with(|case| {
        case.nas.facts = Facts::default();
        case.policy.source = Place { site: "office".to_owned(), ..case.cloud.place.clone() };
    });
    assert_eq!(case.answer(OneOffsite), Answer::Fail);
}

#[test]
fn an_account_that_is_left_out_is_not_known_to_differ() {
    let case = Case::with(|case| {
        case.nas.facts = Facts::default();
        case.policy.source = case.cloud.place.clone();
        case.cloud.place.account = None;
    });
    assert_eq!(case.answer(OneOffsite), Answer::Fail);
}

#[test]
fn an_offsite_backup_that_was_never_looked_for_leaves_the_rule_unknown() {
    let case = Case::with(|case| case.cloud.facts.listing = None);
    assert_eq!(case.answer(OneOffsite), Answer::Unknown);
}
