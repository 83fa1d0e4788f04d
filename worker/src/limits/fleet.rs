//! The fleet: how much of each rate is this worker's.
//!
//! A rate is shared by slots. All workers look at the same rows, and each writes down which fleet it has taken into account.
//! A share becomes smaller at once, and larger only when all others have taken the same fleet into account, or were not heard
//! of for as long as a lease lasts: by then they have stopped by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use shared::db::worker::Member;
use shared::limit::Key;
use shared::task::{TaskKind, WorkerId};

/// Shares of rates by pool, each 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shares {
    pools: BTreeMap<TaskKind, f64>,
    /// Of what tasks of several kinds have in common.
    all: f64,
}

impl Shares {
    /// The share of a key's rate.
    #[must_use]
    pub(super) fn of(&self, key: &Key) -> f64 {
        match key {
            Key::Pool(kind) => self.pools.get(kind).copied().unwrap_or(0.0),
            Key::Target(_) | Key::Source(_) | Key::Owner(_) => self.all,
        }
    }

    /// A worker's part of all slots.
    fn in_fleet(own: WorkerId, fleet: &[Member]) -> Self {
        let slots = |of: &dyn Fn(&Member) -> usize| {
            let all: usize = fleet.iter().map(of).sum();
            let mine: usize = fleet.iter().filter(|member| member.id == own).map(of).sum();
            if all == 0 { 0.0 } else { mine as f64 / all as f64 }
        };
        let kinds = fleet.iter().flat_map(|member| member.pools.keys().copied());
        let pool =
            |kind| (kind, slots(&|member: &Member| member.pools.get(&kind).map_or(0, |pool| pool.slots)));
        // Reports come under no job.
        let on_jobs = |member: &Member| {
            member.pools.iter().filter(|(kind, _)| kind.needs_job()).map(|(_, pool)| pool.slots).sum()
        };
        Self { pools: kinds.map(pool).collect(), all: slots(&on_jobs) }
    }

    /// What of these shares may be used while others go by another fleet.
    fn at_most(&self, before: &Self) -> Self {
        let pools = self.pools.iter();
        let pools =
            pools.map(|(kind, share)| (*kind, share.min(before.pools.get(kind).copied().unwrap_or(0.0))));
        Self { pools: pools.collect(), all: self.all.min(before.all) }
    }
}

/// What this worker knows of the fleet.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    shares: Shares,
    wanted: Shares,
    agreed: bool,
}

impl Fleet {
    /// Looks at the workers that were heard of within a lease, and gives up what is not this worker's own any more. The others
    /// are to be told the number that comes back before [`Fleet::grow`].
    pub(super) fn see(&mut self, own: WorkerId, fleet: &[Member]) -> i64 {
        let view = view(fleet);
        self.wanted = Shares::in_fleet(own, fleet);
        self.shares = self.wanted.at_most(&self.shares);
        self.agreed = fleet.iter().all(|member| member.id == own || member.view == Some(view));
        view
    }

    /// Takes what has become this worker's own, if all others had taken the same fleet into account.
    pub(super) fn grow(&mut self) {
        if self.agreed {
            self.shares = self.wanted.clone();
        }
    }

    /// Forgets the shares: nobody may count on this worker any more.
    pub(super) fn forget(&mut self) {
        self.shares = Shares::default();
    }

    /// The shares that may be used now.
    #[must_use]
    pub(super) const fn shares(&self) -> &Shares {
        &self.shares
    }
}

/// A number for who is there with how many slots, the same in every worker.
fn view(fleet: &[Member]) -> i64 {
    let mut hash = Sha256::new();
    let mut members: Vec<&Member> = fleet.iter().collect();
    members.sort_by_key(|member| member.id);
    for member in members {
        hash.update(member.id.0.as_bytes());
        for (kind, pool) in &member.pools {
            hash.update(format!("{kind}={};", pool.slots));
        }
    }
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// How long a look at the fleet is good: with a margin, since the others count on it for a whole lease.
#[must_use]
pub(super) fn good_for(lease: Duration) -> Duration {
    lease.mul_f64(0.9)
}

#[cfg(test)]
mod tests {
    use shared::db::worker::PoolUse;

    use super::*;

    fn member(slots: usize, view: Option<i64>) -> Member {
        let pool = PoolUse { slots, ..PoolUse::default() };
        Member { id: WorkerId::generate(), pools: [(TaskKind::Backup, pool)].into(), view }
    }

    /// Looks, tells and grows; returns what it tells.
    fn look(fleet: &mut Fleet, own: WorkerId, rows: &[Member]) -> i64 {
        let view = fleet.see(own, rows);
        fleet.grow();
        view
    }

    fn share(fleet: &Fleet) -> String {
        format!("{:.2}", part(fleet))
    }

    fn part(fleet: &Fleet) -> f64 {
        fleet.shares().of(&Key::Pool(TaskKind::Backup))
    }

    #[test]
    fn a_worker_alone_has_the_whole_rate() {
        let (mut fleet, own) = (Fleet::default(), member(4, None));
        look(&mut fleet, own.id, &[own]);
        assert_eq!(share(&fleet), "1.00");
    }

    #[test]
    fn a_share_shrinks_at_once_and_grows_when_all_others_know() {
        let (mut old, mut new) = (member(3, None), member(1, None));
        let (mut of_old, mut of_new) = (Fleet::default(), Fleet::default());
        old.view = Some(look(&mut of_old, old.id, std::slice::from_ref(&old)));

        // The new one sees that the old one does not know of it.
        new.view = Some(look(&mut of_new, new.id, &[old.clone(), new.clone()]));
        assert_eq!(share(&of_new), "0.00");
        // The old one gives up what is not its own any more.
        old.view = Some(look(&mut of_old, old.id, &[old.clone(), new.clone()]));
        assert_eq!(share(&of_old), "0.75");
        look(&mut of_new, new.id, &[old, new.clone()]);
        assert_eq!(share(&of_new), "0.25");
    }

    #[test]
    fn what_a_lost_worker_had_is_shared_by_those_that_agree_that_it_is_lost() {
        let mut fleet: Vec<Member> = (0..3).map(|_| member(1, None)).collect();
        let mut views: Vec<Fleet> = fleet.iter().map(|_| Fleet::default()).collect();
        let mut look = |present: &[usize], at: usize| {
            let rows: Vec<Member> = present.iter().map(|&n| fleet[n].clone()).collect();
            fleet[at].view = Some(look(&mut views[at], fleet[at].id, &rows));
            share(&views[at])
        };
        for _ in 0..2 {
            (0..3).for_each(|at| _ = look(&[0, 1, 2], at));
        }
        assert_eq!(look(&[0, 1, 2], 0), "0.33");
        assert_eq!(look(&[0, 1], 0), "0.33", "the other one does not know yet");
        assert_eq!(look(&[0, 1], 1), "0.50");
        assert_eq!(look(&[0, 1], 0), "0.50");
    }

    #[test]
    fn shares_never_add_up_to_more_than_the_rate() {
        // Whatever the order in which workers look, join and are lost: seeded, so that a failure can be repeated.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut dice = move |sides: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % sides as u64).unwrap()
        };
        let mut workers: Vec<(Member, Fleet)> = Vec::new();
        for _ in 0..50_000 {
            let at = dice(workers.len().max(1));
            match dice(12) {
                0 if workers.len() < 8 => workers.push((member(1 + dice(5), None), Fleet::default())),
                1 if !workers.is_empty() => _ = workers.remove(at),
                2 if !workers.is_empty() => workers[at].0.pools = member(1 + dice(5), None).pools,
                // A look, which may be followed by others' before it goes on.
                3..=8 if !workers.is_empty() => {
                    let rows: Vec<Member> = workers.iter().map(|(member, _)| member.clone()).collect();
                    let (member, fleet) = &mut workers[at];
                    member.view = Some(fleet.see(member.id, &rows));
                }
                9..=11 if !workers.is_empty() => workers[at].1.grow(),
                _ => {}
            }
            let sum: f64 = workers.iter().map(|(_, fleet)| part(fleet)).sum();
            assert!(sum < 1.0 + 1e-9, "{sum}");
        }
    }
}
