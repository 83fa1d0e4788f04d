use proptest::prelude::*;

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn observation(id: u128, second: i64, finding: Finding) -> Evidence {
    Evidence {
        id: EvidenceId(Uuid::from_u128(id)),
        job: JobId(1),
        target: TargetId(1),
        task: TaskId(Uuid::nil()),
        observed_at: at(second),
        finding,
    }
}

fn point(data_second: i64) -> Finding {
    let restore_point = RestorePointId(Uuid::nil());
    Finding::RestorePoint(PointFact { restore_point, data_time: at(data_second), source_errors: 0 })
}

fn reported(data_second: i64) -> Finding {
    let Finding::RestorePoint(says) = point(data_second) else { unreachable!() };
    Finding::Reported(says)
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let check = |passed| Check {
        restore_point: RestorePointId(Uuid::nil()),
        passed,
        seconds: 1.0,
        detail: String::new(),
    };
    prop_oneof![
        (0_i64..5).prop_map(point),
        (0_i64..5).prop_map(reported),
        any::<bool>().prop_map(|present| Finding::Listing { present }),
        any::<bool>().prop_map(|present| Finding::Inventory { present }),
        Just(Finding::Detached),
        Just(Finding::Reached),
        any::<bool>().prop_map(move |passed| Finding::Structure(check(passed))),
        any::<bool>().prop_map(move |passed| Finding::Read(check(passed))),
        any::<bool>().prop_map(move |passed| Finding::RestoreTest(check(passed))),
        (0_i64..5).prop_map(|second| Finding::Lock { until: at(second) }),
        any::<bool>().prop_map(|refused| Finding::DeleteProbe { refused }),
    ]
}

fn fold<'a>(evidence: impl IntoIterator<Item = &'a Evidence>) -> Facts {
    let mut facts = Facts::default();
    evidence.into_iter().for_each(|evidence| facts.observe(evidence));
    facts
}

/// Observations, many of them of one moment, and the same in another order.
fn any_two_orders() -> impl Strategy<Value = (Vec<Evidence>, Vec<Evidence>)> {
    prop::collection::vec((any_finding(), 0_i64..5), 0..20)
        .prop_map(|findings| {
            let numbered = (1_u128..).zip(findings);
            numbered.map(|(id, (finding, second))| observation(id, second, finding)).collect::<Vec<_>>()
        })
        .prop_flat_map(|evidence| (Just(evidence.clone()), Just(evidence).prop_shuffle()))
}

proptest! {
    #[test]
    fn the_order_of_the_evidence_does_not_matter((one, other) in any_two_orders()) {
        prop_assert_eq!(fold(&one), fold(&other));
    }
}

#[test]
fn a_late_copy_of_older_data_does_not_replace_newer_data_but_is_a_write() {
    let newer = observation(1, 10, point(9));
    let late = observation(2, 20, point(3));
    let facts = fold([&newer, &late]);
    assert_eq!(facts.restore_point.unwrap().evidence, newer.id);
    assert_eq!(facts.written_at, Some(at(20)));
}

#[test]
fn what_was_only_reported_takes_the_place_of_nothing_that_was_observed_but_is_a_write() {
    let observed = observation(1, 10, point(3));
    let said = observation(2, 20, reported(9));
    let late = observation(3, 30, reported(5));
    let facts = fold([&observed, &said, &late]);
    assert_eq!(facts.restore_point.unwrap().evidence, observed.id);
    assert_eq!(facts.reported.unwrap().evidence, said.id);
    assert_eq!(facts.written_at, Some(at(30)));
}

#[test]
fn a_listing_says_that_the_medium_is_in_reach() {
    let detached = observation(1, 10, Finding::Detached);
    let listed = observation(2, 20, Finding::Listing { present: true });
    assert_eq!(fold([&detached, &listed]).whereabouts.unwrap().says, Whereabouts::InReach);
}
