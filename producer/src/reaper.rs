//! The reaper: takes tasks from workers that were not heard of until their leases ran out.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared::db::cap;
use shared::db::dead_task::{self, Dead, Reason};
use shared::db::execution::{self, Execution, Volume};
use shared::db::lease::{self, Expired, Leased};
use shared::db::task::{self, Waiting};
use shared::db::{self, Database, session};
use shared::task::{Ended, Next, Outcome, Tries, after};
use tokio_util::sync::CancellationToken;

use crate::{events, metrics};

/// Leases that are taken in one transaction.
const BATCH: usize = 500;
/// How long a worker may let a statement of its own wait.
const STUCK: Duration = Duration::from_mins(1);
/// The least rest after a look, in times of what it took: the whole table is looked through, and while an old snapshot
/// keeps all that has ended in it, that takes seconds.
const REST: u32 = 20;
/// The longest rest that comes from this.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Looks for expired leases every `interval` until `stop`.
pub async fn run(database: &Database, interval: Duration, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let rest = match reap(database).await {
            Ok(Reaped { leases: BATCH, .. }) => Duration::ZERO,
            Ok(Reaped { look, .. }) => interval.max((look * REST).min(LONGEST_REST)),
            Err(error) => {
                events::reaper_failed(&error);
                interval
            }
        };
        _ = tokio::time::timeout(rest, stop.cancelled()).await;
    }
}

/// What came of one look.
struct Reaped {
    /// Leases that were taken.
    leases: usize,
    /// How long it took to find them.
    look: Duration,
}

/// Takes expired leases once.
async fn reap(database: &Database) -> Result<Reaped, db::Error> {
    let mut client = database.client().await?;
    let stuck = session::end_stuck(&client, STUCK).await?;
    if stuck > 0 {
        events::ended_stuck(stuck);
    }
    let transaction = client.transaction().await?;
    let began = Instant::now();
    let (expired, caps) = lease::take_expired(&transaction, i64::try_from(BATCH).unwrap_or(i64::MAX)).await?;
    let look = began.elapsed();
    metrics::reaped(look);
    let missed = task::wake_missed(&transaction).await?;
    if !expired.is_empty() {
        let (rescued, dead) = sort(&expired, db::now(&transaction).await?);
        task::insert(&transaction, &rescued).await?;
        dead_task::insert(&transaction, &dead).await?;
        let lost: Vec<_> = expired.iter().map(record).collect();
        execution::insert(&transaction, &lost).await?;
    }
    cap::end(&transaction, &caps).await?;
    transaction.commit().await?;

    for lost in &expired {
        match next(lost) {
            Next::Queued { .. } => {
                events::rescued(lost);
                metrics::expired(metrics::Expired::Requeued);
            }
            Next::Cancelled => {
                events::cancelled(lost);
                metrics::expired(metrics::Expired::Cancelled);
            }
            Next::Dead | Next::Succeeded => {
                events::buried(lost);
                metrics::expired(metrics::Expired::Dead);
            }
        }
    }
    if missed > 0 {
        events::missed_wake(missed);
    }
    Ok(Reaped { leases: expired.len(), look })
}

/// Tells what runs again from what died with too many workers; what a person ended meanwhile is neither.
fn sort(expired: &[Expired], now: DateTime<Utc>) -> (Vec<Waiting>, Vec<Dead<'_>>) {
    let (mut rescued, mut dead) = (Vec::new(), Vec::new());
    for lost in expired {
        let leased = &lost.leased;
        match next(lost) {
            Next::Queued { after, attempt_counts, rescued: by_rescue } => rescued.push(Waiting {
                task: leased.task.clone(),
                run_at: after.map(|after| now + after),
                waiting_for: None,
                attempt: leased.attempt - i32::from(!attempt_counts),
                rescues: leased.rescues + i32::from(by_rescue),
                // One more than the next claim would make it: the lost owner's epoch never comes again.
                epoch: leased.epoch.0 + 1,
                last_error: Some(error(lost)),
            }),
            Next::Cancelled => {}
            Next::Dead | Next::Succeeded => {
                dead.push(Dead { leased, reason: Reason::Lost, last_error: error(lost) });
            }
        }
    }
    (rescued, dead)
}

fn next(lost: &Expired) -> Next {
    let Leased { attempt, rescues, .. } = lost.leased;
    // How often it may be tried does not matter to a rescue, and there is nothing to spread.
    after(&ended(lost), Tries { attempt, max_attempts: attempt, rescues }, 0.0)
}

fn ended(lost: &Expired) -> Ended {
    lost.leased.cancelled_by.clone().map_or(Ended::Lost, |by| Ended::Cancelled { by })
}

/// What the record of the attempt says.
fn error(lost: &Expired) -> String {
    ended(lost).error().unwrap_or_default().into_owned()
}

fn record(lost: &Expired) -> Execution<'_> {
    Execution {
        leased: &lost.leased,
        target: None,
        outcome: ended(lost).outcome().unwrap_or(Outcome::Lost),
        seconds: lost.seconds,
        volume: Volume::default(),
        error: Some(error(lost)),
        detail: None,
        worker: lost.worker,
    }
}

#[cfg(test)]
mod tests {
    use shared::task::{Epoch, MAX_RESCUES, Priority, Task, TaskId, TaskKind, WorkerId};

    use shared::params::Params;

    use super::*;

    fn expired(rescues: i32) -> Expired {
        let now = shared::clock::now();
        let task = Task {
            id: TaskId::generate(),
            kind: TaskKind::Backup,
            priority: Priority::Normal,
            job: None,
            params: Params::from(&serde_json::json!({})),
            requested_by: "test".to_owned(),
            enqueued_at: now,
            trace: None,
        };
        let leased = Leased {
            task,
            attempt: 3,
            rescues,
            epoch: Epoch(7),
            started_at: now,
            could_start_at: now,
            cancelled_by: None,
            caps: Vec::new(),
        };
        Expired { leased, worker: WorkerId::generate(), seconds: 1.0 }
    }

    #[test]
    fn a_rescue_gives_the_attempt_back_and_fences_the_lost_owner() {
        let (lost, now) = ([expired(0)], shared::clock::now());
        let (rescued, dead) = sort(&lost, now);
        assert!(dead.is_empty());
        let row = &rescued[0];
        assert_eq!((row.attempt, row.rescues, row.epoch, row.run_at), (2, 1, 8, Some(now)));
    }

    #[test]
    fn a_task_whose_end_was_asked_for_before_its_worker_vanished_does_not_run_again() {
        let mut lost = [expired(0)];
        lost[0].leased.cancelled_by = Some("ops".to_owned());
        let (rescued, dead) = sort(&lost, shared::clock::now());
        assert!(rescued.is_empty() && dead.is_empty());
        assert_eq!(record(&lost[0]).outcome, Outcome::Cancelled);
    }

    #[test]
    fn a_task_that_lost_too_many_workers_is_buried() {
        let lost = [expired(MAX_RESCUES)];
        let (rescued, dead) = sort(&lost, shared::clock::now());
        assert!(rescued.is_empty());
        assert_eq!(dead[0].reason, Reason::Lost);
    }
}
