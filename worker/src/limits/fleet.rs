//! The fleet: how much of each rate is this worker's.
//!
//! A rate is shared by slots. Each worker writes down the part that it has taken, and takes no more than the others leave. What is
//! more than its own slots speak for it gives up at once, as soon as it sees others. What a lost worker had taken is free when
//! it was not heard of for as long as a lease lasts: by then it has stopped by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use deadpool_postgres::Client;
use shared::db::worker::{Member, Shares};
use shared::db::{self, worker};
use shared::limit::Key;
use shared::task::{TaskKind, WorkerId};

/// The share of a key's rate.
#[must_use]
pub(super) fn share_of(shares: &Shares, key: &Key) -> f64 {
    match key {
        Key::Pool(kind) => part(shares, *kind),
        Key::Target(_) | Key::Source(_) | Key::Owner(_) => shares.all,
    }
}

/// How long a look at the fleet is good: with a margin, since the others count on it for a whole lease.
#[must_use]
pub(super) fn good_for(lease: Duration) -> Duration {
    lease.mul_f64(0.9)
}

/// What a worker is to do when it has looked at the workers that were heard of within a lease.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    /// What it has taken and may go on to use; to be written down where that is less than before.
    pub(super) kept: Shares,
    /// It is less than before.
    pub(super) is_less: bool,
    /// What it should have, if that is more.
    pub(super) wanted: Option<Shares>,
}

/// Looks at the fleet; `None` if nobody knows of this worker yet, or any more. One that was `late`, so that the others may have taken
/// what it had, begins anew.
pub(super) fn see(own: WorkerId, fleet: &[Member], late: bool) -> Option<Seen> {
    let taken = &fleet.iter().find(|member| member.id == own)?.shares;
    let wanted = by_slots(own, fleet);
    let kept = if late { Shares::default() } else { least(&wanted, taken) };
    let wanted = exceeds(&wanted, &kept).then_some(wanted);
    Some(Seen { is_less: exceeds(taken, &kept), kept, wanted })
}

/// Whether a part of one is more than that of the other, by more than sums of parts are exact.
fn exceeds(more: &Shares, less: &Shares) -> bool {
    let exceeds = |more: f64, less: f64| more > less + 1e-9;
    let of_pool = |(kind, share): (&TaskKind, &f64)| exceeds(*share, part(less, *kind));
    exceeds(more.all, less.all) || more.pools.iter().any(of_pool)
}

/// Takes as much of what is wanted as the others leave, and returns what this worker has then.
pub(super) async fn take(
    client: &mut Client,
    own: WorkerId,
    lease: Duration,
    wanted: &Shares,
) -> Result<Shares, db::Error> {
    let transaction = client.transaction().await?;
    worker::lock_shares(&transaction).await?;
    let taken = least(wanted, &left_by_others(own, &worker::members(&transaction, lease).await?));
    worker::set_shares(&transaction, own, &taken).await?;
    transaction.commit().await?;
    Ok(taken)
}

/// A worker's part of all slots.
fn by_slots(own: WorkerId, fleet: &[Member]) -> Shares {
    let slots = |of: &dyn Fn(&Member) -> usize| {
        let all: usize = fleet.iter().map(of).sum();
        let mine: usize = fleet.iter().filter(|member| member.id == own).map(of).sum();
        if all == 0 { 0.0 } else { mine as f64 / all as f64 }
    };
    let kinds: BTreeSet<TaskKind> = fleet.iter().flat_map(|member| member.pools.keys().copied()).collect();
    let pool = |kind| (kind, slots(&|member: &Member| member.pools.get(&kind).map_or(0, |pool| pool.slots)));
    // Reports come under no job.
    let on_jobs = |member: &Member| {
        member.pools.iter().filter(|(kind, _)| kind.needs_job()).map(|(_, pool)| pool.slots).sum()
    };
    Shares { pools: kinds.into_iter().map(pool).collect(), all: slots(&on_jobs) }
}

/// What nobody else has taken.
fn left_by_others(own: WorkerId, fleet: &[Member]) -> Shares {
    let others = || fleet.iter().filter(|member| member.id != own).map(|member| &member.shares);
    let left = |taken: f64| (1.0 - taken).max(0.0);
    let kinds = TaskKind::ALL.iter();
    let pools = kinds.map(|kind| (*kind, left(others().map(|shares| part(shares, *kind)).sum())));
    Shares { pools: pools.collect(), all: left(others().map(|shares| shares.all).sum()) }
}

/// The lesser part of each.
fn least(a: &Shares, b: &Shares) -> Shares {
    let pools = a.pools.iter().map(|(kind, share)| (*kind, share.min(part(b, *kind))));
    Shares { pools: pools.collect(), all: a.all.min(b.all) }
}

fn part(shares: &Shares, kind: TaskKind) -> f64 {
    shares.pools.get(&kind).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use shared::db::worker::PoolUse;

    use super::*;

    /// A worker as it is, beside its row.
    struct Worker {
        row: Member,
        is_heard: bool,
        used: Shares,
        wants: Option<Shares>,
    }

    fn member(slots: usize) -> Member {
        let pool = PoolUse { slots, ..PoolUse::default() };
        Member {
            id: WorkerId::generate(),
            pools: [(TaskKind::Backup, pool)].into(),
            shares: Shares::default(),
        }
    }

    /// A look of one worker, as it writes it down; says what it has.
    fn look(fleet: &mut [Member], at: usize) -> String {
        let own = fleet[at].id;
        let Seen { kept, wanted, .. } = see(own, fleet, false).unwrap();
        fleet[at].shares = kept;
        if let Some(wanted) = wanted {
            fleet[at].shares = least(&wanted, &left_by_others(own, fleet));
        }
        format!("{:.2}", part(&fleet[at].shares, TaskKind::Backup))
    }

    #[test]
    fn a_worker_alone_has_the_whole_rate() {
        assert_eq!(look(&mut [member(4)], 0), "1.00");
    }

    #[test]
    fn a_worker_that_joins_takes_what_the_others_give_up() {
        let mut fleet = [member(3), member(1)];
        assert_eq!(look(&mut fleet[..1], 0), "1.00");
        assert_eq!(look(&mut fleet, 1), "0.00");
        assert_eq!(look(&mut fleet, 0), "0.75");
        assert_eq!(look(&mut fleet, 1), "0.25");
    }

    #[test]
    fn what_a_lost_worker_had_is_free_when_it_is_not_there_any_more() {
        let mut fleet: Vec<Member> = (0..3).map(|_| member(1)).collect();
        for at in [0, 1, 2, 0, 1, 2] {
            look(&mut fleet, at);
        }
        // Until then a new one gets nothing of it, and the others go on.
        fleet.push(member(1));
        assert_eq!([look(&mut fleet, 3), look(&mut fleet, 0)], ["0.00", "0.25"]);
        assert_eq!(look(&mut fleet, 3), "0.08");
        fleet.remove(1);
        assert_eq!([look(&mut fleet, 2), look(&mut fleet, 0)], ["0.33", "0.33"]);
    }

    #[test]
    fn one_that_joins_again_and_again_leaves_the_others_what_they_have() {
        let mut fleet: Vec<Member> = (0..4).map(|_| member(1)).collect();
        for at in [0, 1, 2, 3, 0, 1, 2, 3] {
            look(&mut fleet, at);
        }
        for _ in 0..20 {
            // The last one is lost, and another one is there in its place as soon as it is forgotten.
            fleet.pop();
            fleet.push(member(1));
            assert_eq!(look(&mut fleet, 3), "0.25");
            assert_eq!(look(&mut fleet, 0), "0.25");
        }
    }

    #[test]
    fn a_worker_that_nobody_knows_has_nothing() {
        assert_eq!(see(WorkerId::generate(), &[member(1)], false), None);
    }

    #[test]
    fn thirds_that_add_up_to_a_little_less_than_all_are_not_asked_for_again_and_again() {
        let mut fleet: Vec<Member> = (0..3).map(|_| member(1)).collect();
        for at in [0, 1, 2, 0, 1, 2] {
            look(&mut fleet, at);
        }
        let seen = |at: usize| see(fleet[at].id, &fleet, false).unwrap();
        assert!((0..3).all(|at| seen(at).wanted.is_none() && !seen(at).is_less), "{fleet:?}");
    }

    #[test]
    fn what_workers_use_never_adds_up_to_more_than_the_rate() {
        // Whatever the order in which workers look, join, change and are lost, and however late they go on: seeded, so that a
        // failure can be repeated.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut dice = move |sides: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % sides as u64).unwrap()
        };
        let backup = |shares: &Shares| part(shares, TaskKind::Backup);
        let mut workers: Vec<Worker> = Vec::new();
        let mut most = 0.0_f64;
        for _ in 0..200_000 {
            let at = dice(workers.len().max(1));
            // Those whose rows are too old are seen by nobody.
            let rows: Vec<Member> =
                workers.iter().filter(|worker| worker.is_heard).map(|worker| worker.row.clone()).collect();
            match dice(16) {
                0 if workers.len() < 8 => workers.push(Worker {
                    row: member(1 + dice(5)),
                    is_heard: true,
                    used: Shares::default(),
                    wants: None,
                }),
                1 if !workers.is_empty() => _ = workers.remove(at),
                2 if !workers.is_empty() => workers[at].row.pools = member(1 + dice(5)).pools,
                // It hangs until its row is too old: by then its gates have closed.
                3 if !workers.is_empty() => {
                    let worker = &mut workers[at];
                    (worker.is_heard, worker.used, worker.wants) = (false, Shares::default(), None);
                }
                // A look: less is used before it is written down. One that goes on has been heard of again.
                4..=9 if !workers.is_empty() => {
                    let worker = &mut workers[at];
                    let late = !std::mem::replace(&mut worker.is_heard, true);
                    let rows = if late { [rows, vec![worker.row.clone()]].concat() } else { rows };
                    let Seen { kept, wanted, .. } = see(worker.row.id, &rows, late).unwrap();
                    (worker.used, worker.wants) = (kept.clone(), wanted);
                    worker.row.shares = kept;
                }
                // It takes more, some time later and under the lock.
                10..=15 if !workers.is_empty() => {
                    let worker = &mut workers[at];
                    if let Some(wanted) = worker.wants.take() {
                        worker.row.shares = least(&wanted, &left_by_others(worker.row.id, &rows));
                        worker.used = worker.row.shares.clone();
                    }
                }
                _ => {}
            }
            let sum: f64 = workers.iter().map(|worker| backup(&worker.used)).sum();
            assert!(sum < 1.0 + 1e-9, "{sum}");
            most = most.max(sum);
        }
        assert!(most > 0.999, "{most}");
    }
}
