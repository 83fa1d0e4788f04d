//! The leases that this worker holds, and the heartbeat that extends them.
//!
//! The worker fences itself: a deadline on a clock that counts suspend is taken before each extension is asked for,
//! so that it can only be earlier than the database's. Work that outlives its deadline ends by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shared::db::lease::{Beat, heartbeat};
use shared::db::worker::{BatchCount, PoolUse, Worker};
use shared::db::{self, Database};
use shared::task::{Epoch, TaskId, TaskKind, WorkerId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::clock::BootInstant;
use crate::events;

/// All leases of this worker.
#[derive(Debug)]
pub struct Leases {
    held: Mutex<HashMap<TaskId, Held>>,
    healthy: watch::Sender<bool>,
}

#[derive(Debug)]
struct Held {
    epoch: Epoch,
    deadline: watch::Sender<BootInstant>,
    progress: watch::Receiver<Option<Value>>,
    fenced: CancellationToken,
    ended: CancellationToken,
}

/// One lease: it is extended until this is dropped.
#[derive(Debug)]
pub struct Lease {
    task: TaskId,
    epoch: Epoch,
    leases: std::sync::Arc<Leases>,
    /// Until when the work may go on; moves with each heartbeat.
    pub deadline: watch::Receiver<BootInstant>,
    /// Told when somebody else owns the task now.
    pub fenced: CancellationToken,
    ended: CancellationToken,
    progress: watch::Sender<Option<Value>>,
}

impl Lease {
    /// Says how far the work is; it is stored with the next heartbeat.
    pub fn report(&self, progress: Value) {
        self.progress.send_replace(Some(progress));
    }

    /// Says that the work is over: the lease is kept until it is recorded, and its end then is no fencing.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Waits until the lease is lost: fenced, or not extended in time.
    pub async fn lost(&self) {
        loop {
            let remaining = self.deadline.borrow().remaining();
            if remaining.is_zero() {
                return;
            }
            tokio::select! {
                () = self.fenced.cancelled() => return,
                // Short naps, because timers do not count suspend.
                () = tokio::time::sleep(remaining.min(Duration::from_millis(250))) => {}
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.lock();
        // A later attempt of the same task may have taken the place.
        if held.get(&self.task).is_some_and(|held| held.epoch == self.epoch) {
            held.remove(&self.task);
        }
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self { held: Mutex::default(), healthy: watch::Sender::new(true) }
    }
}

impl Leases {
    /// Holds a lease that was just claimed; `deadline` was taken before the claim was asked for.
    pub fn hold(self: &std::sync::Arc<Self>, task: TaskId, epoch: Epoch, deadline: BootInstant) -> Lease {
        let (deadline, deadlines) = watch::channel(deadline);
        let (progress, reports) = watch::channel(None);
        let fenced = CancellationToken::new();
        let ended = CancellationToken::new();
        let held = Held { epoch, deadline, progress: reports, fenced: fenced.clone(), ended: ended.clone() };
        self.lock().insert(task, held);
        Lease { task, epoch, leases: self.clone(), deadline: deadlines, fenced, ended, progress }
    }

    /// Waits until the last heartbeat succeeded: nothing is claimed that could not be kept.
    pub async fn healthy(&self) {
        // The sender lives as long as `self`.
        _ = self.healthy.subscribe().wait_for(|healthy| *healthy).await;
    }

    /// Extends the leases, and reports the worker, every `every` until `stop`.
    pub async fn run(
        &self,
        database: &Database,
        identity: &Identity,
        lease: Duration,
        every: Duration,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    identity.leave(database).await;
                    return Ok(());
                }
                _ = ticks.tick() => {}
            }
            let beaten = tokio::select! {
                beaten = tokio::time::timeout(every, self.beat(database, identity, lease)) => beaten,
                () = stop.cancelled() => continue,
            };
            let failure = match beaten {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            self.healthy.send_replace(failure.is_none());
            if let Some(failure) = failure {
                events::heartbeat_failed(&failure);
            }
        }
    }

    async fn beat(&self, database: &Database, identity: &Identity, lease: Duration) -> Result<(), db::Error> {
        let client = database.client().await?;
        db::worker::report(&client, &identity.describe()).await?;
        let beats = self.beats();
        if beats.is_empty() {
            return Ok(());
        }
        let deadline = BootInstant::from_now(lease);
        let kept = heartbeat(&client, identity.id, lease, &beats).await?;
        let kept: HashMap<TaskId, Epoch> = kept.into_iter().collect();
        let held = self.lock();
        for beat in &beats {
            // A task that ended meanwhile is not held any more.
            let Some(held) = held.get(&beat.task).filter(|held| held.epoch == beat.epoch) else { continue };
            if kept.get(&beat.task) == Some(&beat.epoch) {
                held.deadline.send_replace(deadline);
            } else if !held.ended.is_cancelled() {
                events::fenced(beat.task, beat.epoch);
                held.fenced.cancel();
            }
        }
        Ok(())
    }

    fn beats(&self) -> Vec<Beat> {
        let held = self.lock();
        held.iter()
            .map(|(task, held)| Beat {
                task: *task,
                epoch: held.epoch,
                progress: held.progress.borrow().clone(),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Held>> {
        // Nothing panics between a lock and its release; a map is never half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
