//! What another system declares about its own copies: it counts, as what it is, and never under `strict`.

use Rule::{OneIsolated, OneOffsite, ThreeCopies, TwoMedia, ZeroErrors};

use super::*;

/// The compliant job, with a cloud of which all that is known is another system's word.
fn said(change: impl FnOnce(&mut Case)) -> Case {
    Case::with(|case| {
        case.cloud.facts = Facts { reported: point(start() - 2 * HOUR), ..Facts::default() };
        change(case);
    })
}

fn strict(change: impl FnOnce(&mut Case)) -> Case {
    said(|case| {
        case.policy.strict = true;
        change(case);
    })
}

#[test]
fn a_reported_copy_counts_and_each_reason_says_so() {
    let case = said(|_| ());
    let reason = |rule| {
        let verdict = case.verdict(rule);
        assert_eq!(verdict.answer, Answer::Pass, "{verdict:?}");
        verdict.reason
    };
    assert_eq!(reason(ThreeCopies), "the source and 2 backups (1 only reported), 2 backups needed");
    assert_eq!(reason(TwoMedia), "3 media classes, 3 failure domains (1 only reported)");
    assert_eq!(reason(OneOffsite), "cloud is at cloud, as another system reported");
}

#[test]
fn a_reported_copy_is_neither_isolated_nor_without_errors() {
    let case = said(|_| ());
    let isolated = case.verdict(OneIsolated);
    assert_eq!(isolated.answer, Answer::Fail);
    let why = "cloud: another system reported it, and nobody saw it isolated";
    assert!(isolated.reason.contains(why), "{}", isolated.reason);
    let verdict = case.verdict(ZeroErrors);
    assert_eq!(verdict.answer, Answer::Fail);
    assert_eq!(verdict.reason, "cloud: another system reported it, and nobody verified it");
}

#[test]
fn a_reported_copy_counts_no_longer_than_its_data_is_young() {
    // A secondary copy: 26 hours and 6 for its lag.
    let case = said(|_| ()).later(30 * HOUR);
    assert!(!case.answer(ThreeCopies).passes());
    let alone = said(|case| case.nas.facts = case.cloud.facts.clone());
    let passes =
        |hours: u32, tick: Duration| alone.clone().later(hours * HOUR - tick).answer(ThreeCopies).passes();
    // The first target's is as old as the objective says.
    assert!(passes(24, TICK));
    assert!(!passes(24, Duration::ZERO));
}

#[test]
fn a_report_with_source_errors_does_not_count() {
    let case = said(|case| case.cloud.facts.reported.as_mut().unwrap().says.source_errors = 1);
    assert_eq!(case.answer(ThreeCopies), Answer::Fail);
}

#[test]
fn under_strict_what_was_only_reported_passes_no_rule() {
    // Everything but what the rules look for is left out.
    let only = strict(|case| {
        let reported = case.cloud.facts.clone();
        case.nas.facts = reported.clone();
        case.others.push(Copy { facts: reported, ..drawer() });
    });
    for verdict in only.judge().verdicts {
        assert_eq!(verdict.answer, Answer::Fail, "{verdict:?}");
        let why = "another system reported it, which is not enough under `strict`";
        assert!(verdict.reason.contains(why), "{verdict:?}");
    }
    let without_strict = Case { policy: Policy { strict: false, ..only.policy.clone() }, ..only };
    let passing = without_strict.judge().verdicts.iter().filter(|verdict| verdict.answer.passes()).count();
    assert_eq!(passing, 3);
}

#[test]
fn under_strict_what_was_observed_counts_whatever_is_reported_beside_it() {
    let observed = Case::with(|case| {
        case.policy.strict = true;
        case.others.push(drawer());
        case.cloud.facts.reported = point(start() - HOUR);
    });
    assert!(observed.judge().compliant(), "{:?}", observed.judge());
}

#[test]
fn without_strict_the_newer_of_what_was_observed_and_reported_speaks() {
    let older = Case::with(|case| case.cloud.facts.reported = point(start() - 3 * HOUR));
    assert!(older.judge().compliant());
    let newer = Case::with(|case| case.cloud.facts.reported = point(start() - HOUR));
    assert!(newer.answer(ThreeCopies).passes());
    assert_eq!(newer.answer(ZeroErrors), Answer::Fail);
}
