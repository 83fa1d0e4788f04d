use super::*;
use proptest::prelude::*;

fn any_end() -> impl Strategy<Value = Ended> {
    prop_oneof![
        any::<bool>().prop_map(|warning| Ended::Done { warning }),
        prop::sample::select(Reported::ALL)
            .prop_map(|reported| Ended::Noted { reported, error: Some("disk full".to_owned()) }),
        any::<bool>().prop_map(|retryable| Ended::Failed { retryable, error: String::new() }),
        Just(Ended::Postponed(Postponed::Busy("disk-a".parse().unwrap()))),
        Just(Ended::Postponed(Postponed::Detached("disk-a".parse().unwrap()))),
        Just(Ended::Postponed(Postponed::Late)),
        Just(Ended::TimedOut { limit: Duration::from_secs(1) }),
        Just(Ended::Cancelled { by: "ops".to_owned() }),
        Just(Ended::Interrupted),
        Just(Ended::Lost),
    ]
}

fn tries(attempt: i32, rescues: i32) -> Tries {
    Tries { attempt, max_attempts: 5, rescues }
}

proptest! {
    #[test]
    fn a_task_that_always_ends_badly_dies_after_a_bounded_number_of_ends(
        ends in prop::collection::vec(prop_oneof![
            Just(Ended::Lost), Just(Ended::Failed { retryable: true, error: String::new() })], 40)
    ) {
        let (mut attempt, mut rescues, mut died) = (1, 0, None);
        for (n, end) in ends.iter().enumerate() {
            match after(end, tries(attempt, rescues), 1.0) {
                Next::Dead => { died = Some(n); break; }
                Next::Queued { attempt_counts, rescued, .. } => {
                    attempt += i32::from(attempt_counts);
                    rescues += i32::from(rescued);
                }
                Next::Succeeded | Next::Cancelled => prop_assert!(false, "a bad end became another"),
            }
        }
        prop_assert!(died.is_some_and(|n| n < usize::try_from(5 + MAX_RESCUES).unwrap()));
    }

    #[test]
    fn only_what_is_done_succeeds(end in any_end(), attempt in 1..100, rescues in 0..100, jitter in 0.0..1.0) {
        let next = after(&end, tries(attempt, rescues), jitter);
        prop_assert_eq!(next == Next::Succeeded, matches!(end, Ended::Done { .. } | Ended::Noted { .. }));
    }

    #[test]
    fn a_retry_never_waits_longer_than_the_longest_backoff(attempt in 1..5, jitter in -1.0..2.0) {
        let end = Ended::Failed { retryable: true, error: String::new() };
        if let Next::Queued { after: Some(wait), .. } = after(&end, tries(attempt, 0), jitter) {
            prop_assert!(wait <= LONGEST_BACKOFF);
        }
    }
}

#[test]
fn what_cannot_come_out_differently_is_not_tried_again() {
    let end = Ended::Failed { retryable: false, error: "wrong password".into() };
    assert_eq!(after(&end, tries(1, 0), 0.5), Next::Dead);
}

#[test]
fn what_a_person_ended_never_runs_again_and_what_took_too_long_does() {
    assert_eq!(after(&Ended::Cancelled { by: "ops".into() }, tries(1, 0), 0.5), Next::Cancelled);
    let slow = Ended::TimedOut { limit: Duration::from_secs(1) };
    assert!(matches!(after(&slow, tries(4, 0), 0.5), Next::Queued { attempt_counts: true, .. }));
    assert_eq!(after(&slow, tries(5, 0), 0.5), Next::Dead);
}
