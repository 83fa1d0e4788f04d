//! Each piece of evidence counts for as long as the rules say.

use super::*;
use crate::compliance::held::{Held, held};

fn all(case: &Case) -> Vec<Held> {
    [&case.nas, &case.cloud].iter().flat_map(|copy| held(&case.policy, copy)).collect()
}

#[test]
fn a_verdict_expires_with_the_first_piece_that_it_rests_on() {
    let case = Case::compliant();
    let all = all(&case);
    for verdict in case.judge().verdicts {
        let used = all.iter().filter(|held| verdict.evidence.contains(&held.evidence));
        let first = used.clone().filter_map(|held| held.expires_at).min();
        assert_eq!(used.count(), verdict.evidence.len(), "{}", verdict.rule);
        assert_eq!(first, verdict.expires_at, "{}", verdict.rule);
    }
}

#[test]
fn what_failed_or_has_expired_does_not_count() {
    let mut case = Case::compliant();
    case.nas.facts.read = check(start() - HOUR, false);
    case.cloud.facts.read = check(start() - 31 * DAY, true);
    let reads: Vec<_> = all(&case).into_iter().filter(|held| held.kind == "read").collect();
    assert_eq!(reads.iter().map(|held| held.good).collect::<Vec<_>>(), [false, true]);
    assert!(reads.iter().all(|held| !held.counts_at(case.now)), "{reads:?}");
}
