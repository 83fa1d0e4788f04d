//! When time alone can change an answer: re-evaluated then, and not earlier.

use proptest::prelude::*;

use super::*;

/// Asserts that the next change comes at `moment`: exactly there evidence still counts, a tick later it does not.
fn assert_next_change(case: &Case, moment: DateTime<Utc>) {
    let before = case.answers();
    assert_eq!(case.judge().due_at, Some(moment));
    let at = |now| Case { now, ..case.clone() }.answers();
    assert_eq!(at(moment - TICK), before);
    assert_ne!(at(moment + TICK), before);
}

#[test]
fn the_next_change_of_a_passing_job_is_its_first_warning() {
    // The listings of an hour ago count for 24 hours.
    let case = Case::compliant();
    assert_next_change(&case, start() - HOUR + (24 * HOUR).mul_f64(0.8));
}

#[test]
fn the_next_change_of_a_warning_is_its_end() {
    let case = Case::with(|case| case.nas.facts.read = check(start() - 29 * DAY, true));
    let listings_warn = start() - HOUR + (24 * HOUR).mul_f64(0.8);
    assert_next_change(&case, listings_warn);
    let case = Case::with(|case| {
        case.nas.facts.read = check(start() - 30 * DAY + HOUR, true);
    });
    assert_next_change(&case, start() + HOUR);
}

#[test]
fn evidence_is_due_exactly_at_its_end_and_not_for_ever() {
    let case = Case::with(|case| case.nas.facts.listing = fact(start() - 24 * HOUR, true));
    assert_eq!(case.judge().due_at, Some(start()));
    let after = case.later(TICK).judge();
    assert!(after.due_at.is_none_or(|due_at| due_at > start() + TICK));
}

#[test]
fn a_fault_leaves_together_with_its_copy() {
    let case = Case::with(|case| {
        let mut branch = copy("branch", place("branch", "array-2", Media::Nas), Isolation::None);
        branch.facts.structure = None;
        branch.facts.listing = fact(start() - 23 * HOUR, true);
        case.others.push(branch);
    });
    assert_eq!(case.answer(Rule::ZeroErrors), Answer::Fail);
    let due_at = case.judge().due_at.unwrap();
    assert!(due_at <= start() + HOUR);
    assert_eq!(case.later(HOUR + TICK).answer(Rule::ZeroErrors), Answer::Pass);
}

#[test]
fn an_unknown_isolation_becomes_a_failure_when_the_half_that_is_known_expires() {
    let case = Case::with(|case| {
        case.cloud.facts.delete_probe = None;
        case.cloud.facts.lock = fact(start() - DAY, start() + 7 * DAY + HOUR);
    });
    assert_eq!(case.answer(Rule::OneIsolated), Answer::Unknown);
    assert_next_change(&case, start() + HOUR);
}

#[test]
fn a_job_without_evidence_is_never_due() {
    let nothing = Case::with(|case| {
        case.nas.facts = Facts::default();
        case.cloud.facts = Facts::default();
    });
    assert_eq!(nothing.judge().due_at, None);
}

prop_compose! {
    /// Facts of any age up to beyond every window, in hours before the start.
    fn any_facts()(
        ages in prop::array::uniform9(prop::option::weighted(0.9, 0_i64..1_000)),
        lock_left in -100_i64..2_000,
        says in prop::array::uniform6(prop::bool::weighted(0.9)),
        away in any::<bool>(),
        errors in prop::bool::weighted(0.1),
        reported in prop::option::weighted(0.2, 0_i64..50),
    ) -> Facts {
        let at = |n: usize| ages[n].map(|hours| start() - chrono::TimeDelta::hours(hours));
        let whereabouts = if away { Whereabouts::Away } else { Whereabouts::InReach };
        let young = at(0).map(|at| start() - (start() - at) / 20);
        let restore_point = young.and_then(point).map(|mut fact| {
            fact.says.source_errors = u64::from(errors);
            fact
        });
        Facts {
            restore_point,
            reported: reported.and_then(|hours| point(start() - chrono::TimeDelta::hours(hours))),
            written_at: young,
            listing: at(1).map(|at| start() - (start() - at) / 30).and_then(|at| fact(at, says[0])),
            inventory: at(2).and_then(|at| fact(at, says[1])),
            whereabouts: at(3).and_then(|at| fact(at, whereabouts)),
            structure: at(4).map(|at| start() - (start() - at) / 30).and_then(|at| check(at, says[2])),
            read: at(5).and_then(|at| check(at, says[3])),
            restore_test: at(6).and_then(|at| check(at, says[4])),
            lock: at(7).and_then(|at| fact(at, start() + chrono::TimeDelta::hours(lock_left))),
            delete_probe: at(8).and_then(|at| fact(at, says[5])),
        }
    }
}

prop_compose! {
    fn any_case()(
        facts in prop::array::uniform4(any_facts()),
        isolations in prop::array::uniform4(prop::sample::select(Isolation::ALL)),
        shared in prop::bool::weighted(0.2),
        strict in any::<bool>(),
    ) -> Case {
        let [nas, cloud, usb, branch] = facts;
        Case::with(|case| {
            case.policy.strict = strict;
            case.nas.facts = nas;
            case.cloud.facts = cloud;
            case.others.push(Copy { facts: usb, ..drawer() });
            case.others.push(Copy { facts: branch, ..copy("branch", place("b", "b", Media::Nas), Isolation::None) });
            if shared {
                case.others[1].repository = case.nas.repository.clone();
            }
            let copies = [&mut case.nas, &mut case.cloud].into_iter().chain(&mut case.others);
            copies.zip(isolations).for_each(|(copy, isolation)| copy.isolation = isolation);
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn until_it_is_due_nothing_changes(case in any_case(), share in 0.0..1.0) {
        let verdicts = case.judge();
        let until = verdicts.due_at.map_or(1_000 * DAY, |due_at| (due_at - case.now).to_std().unwrap());
        let moment = case.clone().later(until.mul_f64(share));
        prop_assume!(verdicts.due_at.is_none_or(|due_at| moment.now < due_at));
        prop_assert_eq!(moment.answers(), case.answers(), "at {} of {:?}", moment.now, verdicts);
    }

    #[test]
    fn judging_when_it_is_due_comes_to_an_end(case in any_case()) {
        let mut moment = case;
        for _ in 0..200 {
            let Some(due_at) = moment.judge().due_at else { return Ok(()) };
            prop_assert!(due_at >= moment.now);
            moment.now = due_at + TICK;
        }
        prop_assert!(false, "it was due 200 times without new evidence");
    }
}
