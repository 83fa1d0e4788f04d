//! The model of leases and tasks against the statements that it repeats.

mod mirror;

use std::collections::BTreeSet;

use harness::model::{Answer, Happened, Operation, Protocol, State, events_of_a_walk, step};
use mirror::Mirror;

/// Walks that are compared, and transactions of each.
const WALKS: u64 = 40;
const TRANSACTIONS: usize = 100;

#[tokio::test]
async fn every_transaction_of_the_model_answers_and_leaves_what_the_statements_do() {
    let mut mirror = Mirror::new().await;
    let mut turns = BTreeSet::new();
    for seed in 0..WALKS {
        mirror.start_anew().await;
        let (mut state, mut path, mut compared) = (State::default(), Vec::new(), 0);
        for event in events_of_a_walk(seed) {
            state = step(state, event, Protocol::REAL);
            path.push(event);
            let Some((operation, answer)) = state.last.committed.clone().filter(says_something) else {
                continue;
            };
            let found = mirror.apply(&operation, &state).await;
            let context = || format!("{operation:?} in walk {seed} after {path:?}");
            assert_eq!(found.answer, answer, "{}", context());
            assert_eq!(found.tables, mirror::tables_of(&state), "{}", context());
            turns.extend(state.last.happened.iter().copied());
            compared += 1;
            if compared == TRANSACTIONS {
                break;
            }
        }
    }
    // The walks had something to say about every statement.
    let expected = [
        Happened::Parked,
        Happened::PutOff,
        Happened::EarlyCopyRefused,
        Happened::LateDuplicateRefused,
        Happened::MarkWasLate,
        Happened::Rescued,
        Happened::DeadByFailure,
        Happened::DeadByRescueCap,
        Happened::FencedCommitDiscarded,
        Happened::RepeatedCommitDiscarded,
        Happened::RetryOverruledByPerson,
        Happened::CancelledWithItsWorkerLost,
        Happened::MissedWakeMadeUpFor,
    ];
    let missing: Vec<_> = expected.iter().filter(|turn| !turns.contains(turn)).collect();
    assert!(missing.is_empty(), "never came: {missing:?}");
}

fn says_something((operation, _): &(Operation, Answer)) -> bool {
    !matches!(operation, Operation::Heartbeat { held, .. } if held.is_empty())
}
