use proptest::prelude::*;
use proptest::sample::select;

use super::explore::replay;
use super::*;

/// Enough for every planted fault to be come across many times.
const BOUND: u64 = 60_000;

fn any_event() -> impl Strategy<Value = Event> {
    let kinds: Vec<Kind> =
        Kind::ALL.iter().flat_map(|kind| std::iter::repeat_n(*kind, kind.weight())).collect();
    (select(kinds), any::<[u8; 3]>()).prop_map(|(kind, dice)| Event::of(kind, dice))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_invariant_holds_whatever_happens_in_whatever_order(
        events in prop::collection::vec(any_event(), 0..900)
    ) {
        prop_assert_eq!(replay(Protocol::REAL, &events, Invariant::ALL), Ok(()));
    }
}

/// What the first broken invariants of walks through a variant are, without repetition.
fn broken_without(safeguard: Safeguard, invariants: &[Invariant]) -> Vec<&'static str> {
    let report = explore_variant(Protocol::without(safeguard), BOUND, 7, invariants);
    let mut broken: Vec<_> = report.violations.iter().map(|violation| violation.invariant).collect();
    broken.sort_unstable();
    broken.dedup();
    broken
}

#[test]
fn long_walks_take_every_turn_many_times_and_break_nothing() {
    let report = explore(BOUND, 7);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert!(report.is_convincing(), "never came: {:?}", report.missed());
    let rare: Vec<_> = report.events.iter().chain(&report.turns).filter(|(_, count)| **count < 5).collect();
    assert!(rare.is_empty(), "{rare:?}");
    assert!(report.steps >= BOUND && report.states > 20_000, "{report:?}");
}

#[test]
fn a_seed_gives_the_same_walks_again() {
    let [first, second] = [(); 2].map(|()| explore(2_000, 3));
    assert_eq!((first.events, first.states), (second.events, second.states));
}

#[test]
fn without_fencing_a_stale_epoch_commits() {
    for fencing in [Safeguard::Fencing, Safeguard::FencingByEpoch] {
        assert_eq!(broken_without(fencing, Invariant::ALL), ["NoStaleCommit"]);
    }
}

#[test]
fn without_self_fencing_an_operation_acts_after_the_next_owners() {
    assert_eq!(broken_without(Safeguard::SelfFencing, Invariant::ALL), ["EffectsInOrder"]);
}

/// Whether it comes to effects or not, both are I3.
#[test]
fn with_a_deadline_taken_after_the_answer_two_operations_may_act_at_once() {
    let broken = broken_without(Safeguard::EarlyDeadline, Invariant::ALL);
    assert!(broken.contains(&"OneOwner"), "{broken:?}");
    assert!(broken.iter().all(|broken| ["OneOwner", "EffectsInOrder"].contains(broken)), "{broken:?}");
}

#[test]
fn with_acknowledgements_before_the_commit_a_publication_is_lost() {
    assert_eq!(broken_without(Safeguard::AckAfterCommit, Invariant::ALL), ["EveryPublicationEnds"]);
}

#[test]
fn without_republication_a_wiped_broker_takes_what_the_outbox_had() {
    assert_eq!(broken_without(Safeguard::Republication, Invariant::ALL), ["EveryPublicationEnds"]);
}

/// A second result takes a second life of the task, which is looked at as well.
#[test]
fn without_deduplication_a_task_lives_twice_and_has_two_results() {
    assert_eq!(broken_without(Safeguard::Deduplication, Invariant::ALL), ["EndsAreFinal"]);
    assert_eq!(broken_without(Safeguard::Deduplication, &[Invariant::OneResult]), ["OneResult"]);
}

#[test]
fn a_violation_is_told_by_the_events_that_it_takes() {
    let report = explore_variant(Protocol::without(Safeguard::AckAfterCommit), BOUND, 7, Invariant::ALL);
    let told: Vec<&str> =
        report.violations[0].events.iter().map(|event| event.split(' ').next().unwrap()).collect();
    assert_eq!(told, ["Publish", "Deliver", "Crash"]);
}
