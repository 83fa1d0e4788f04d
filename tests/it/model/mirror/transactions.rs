//! What our processes do in a transaction, by the statements themselves.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use harness::model::{Answer, LEASE, Leased, MAX_ATTEMPTS, Owner, TaskNo, Wish};
use shared::db::dead_task::{self, Dead, Reason};
use shared::db::execution::{self, Volume};
use shared::db::lease::Caps;
use shared::db::{known_id, lease, task};
use shared::task::{Ended, Epoch, Next, Postponed, TaskId, Tries, WorkerId, after};

use super::{Mirror, disk, millis};

impl Mirror {
    /// As `worker::claim` does it.
    pub(super) async fn claim(
        &mut self,
        transaction: &Transaction<'_>,
        owner: Owner,
        batch: &[(TaskNo, Wish)],
        now: DateTime<Utc>,
    ) -> Answer {
        let worker = self.worker(owner);
        let mut wishes: Vec<(TaskNo, Wish)> = Vec::new();
        for (task, wish) in batch {
            if wishes.iter().all(|(earlier, _)| earlier != task) {
                wishes.push((*task, *wish));
            }
        }
        let ids: Vec<TaskId> = wishes.iter().map(|(task, _)| self.id(*task)).collect();
        let fresh = known_id::insert(transaction, &ids).await.unwrap();
        let (mut new, mut waiting, mut parked, mut put_off) = (vec![], vec![], vec![], vec![]);
        for (task, wish) in wishes {
            let id = self.id(task);
            match (wish, fresh.contains(&id)) {
                (Wish::Start, true) => new.push(self.task(task)),
                (Wish::Start, false) => waiting.push(id),
                (Wish::Park(wait), true) => {
                    parked.push(task::Waiting::new(self.task(task), now + TimeDelta::milliseconds(wait)));
                }
                (Wish::Park(wait), false) => put_off.push((id, millis(wait).as_secs_f64())),
            }
        }
        let mut leased =
            lease::insert_fresh(transaction, worker, millis(LEASE), new, &Caps::new()).await.unwrap();
        leased.extend(
            lease::take_waiting(transaction, worker, millis(LEASE), &waiting, &Caps::new()).await.unwrap(),
        );
        task::insert(transaction, &parked).await.unwrap();
        task::put_off(transaction, &put_off).await.unwrap();
        for leased in &leased {
            self.claimed.insert((self.number(leased.task.id), leased.epoch), leased.clone());
        }
        self.leased(&leased)
    }

    /// As `worker::record` does it.
    pub(super) async fn record(
        &mut self,
        transaction: &Transaction<'_>,
        owner: Owner,
        finished: &[(Leased, Ended)],
        jitter: f64,
        now: DateTime<Utc>,
    ) -> Answer {
        let worker = self.worker(owner);
        let ended: Vec<_> = finished.iter().map(|(leased, _)| (leased.task, leased.epoch)).collect();
        let completed = lease::complete(transaction, worker, &self.owned(&ended)).await.unwrap();
        let mut recorded = Vec::new();
        for (leased, ended) in finished {
            let leased = &self.claimed[&(leased.task, Epoch(leased.epoch))];
            let mine = |row: &&lease::Completed| row.task == leased.task.id && row.epoch == leased.epoch;
            let Some(row) = completed.iter().find(mine) else { continue };
            let tries =
                Tries { attempt: leased.attempt, max_attempts: MAX_ATTEMPTS, rescues: leased.rescues };
            let (ended, next) = match (after(ended, tries, jitter), row.cancelled_by.clone()) {
                (Next::Queued { .. }, Some(by)) => (Ended::Cancelled { by }, Next::Cancelled),
                (next, _) => (ended.clone(), next),
            };
            let reason =
                if matches!(ended, Ended::TimedOut { .. }) { Reason::TimedOut } else { Reason::Failed };
            let epoch = leased.epoch.0;
            go_on(transaction, leased, worker, &ended, next, reason, epoch, now).await;
            recorded.push(leased.clone());
        }
        self.leased(&recorded)
    }

    /// As `producer::reaper` does it.
    pub(super) async fn reap(&mut self, transaction: &Transaction<'_>, now: DateTime<Utc>) -> Answer {
        let (expired, _) = lease::take_expired(transaction, 500).await.unwrap();
        task::wake_missed(transaction).await.unwrap();
        for lost in &expired {
            let leased = &lost.leased;
            let ended = leased.cancelled_by.clone().map_or(Ended::Lost, |by| Ended::Cancelled { by });
            let tries =
                Tries { attempt: leased.attempt, max_attempts: leased.attempt, rescues: leased.rescues };
            let next = after(&ended, tries, 0.0);
            let epoch = leased.epoch.0 + 1;
            go_on(transaction, leased, lost.worker, &ended, next, Reason::Lost, epoch, now).await;
        }
        let expired: Vec<_> = expired.into_iter().map(|lost| lost.leased).collect();
        self.leased(&expired)
    }
}

/// What becomes of a task whose lease has been taken out.
#[expect(clippy::too_many_arguments, reason = "an end with its whole context")]
async fn go_on(
    transaction: &Transaction<'_>,
    leased: &lease::Leased,
    worker: WorkerId,
    ended: &Ended,
    next: Next,
    reason: Reason,
    epoch: i64,
    now: DateTime<Utc>,
) {
    if let Some(outcome) = ended.outcome() {
        let error = ended.error().map(std::borrow::Cow::into_owned);
        let volume = Volume::default();
        let execution = execution::Execution {
            leased,
            target: None,
            outcome,
            seconds: 0.0,
            volume,
            error,
            detail: None,
            worker,
        };
        execution::insert(transaction, &[execution]).await.unwrap();
    }
    match next {
        Next::Succeeded | Next::Cancelled => {}
        Next::Queued { after, attempt_counts, rescued } => {
            let row = task::Waiting {
                task: leased.task.clone(),
                run_at: after.map(|after| now + after),
                waiting_for: matches!(ended, Ended::Postponed(Postponed::Detached(_)))
                    .then(|| task::waiting_for(&disk())),
                attempt: leased.attempt - i32::from(!attempt_counts),
                rescues: leased.rescues + i32::from(rescued),
                epoch,
                last_error: None,
            };
            task::insert(transaction, &[row]).await.unwrap();
        }
        Next::Dead => {
            let dead = Dead { leased, reason, last_error: String::new() };
            dead_task::insert(transaction, &[dead]).await.unwrap();
        }
    }
}
