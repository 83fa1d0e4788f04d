//! The heartbeat that extends the leases, and what people ask for meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::GenericClient;
use shared::db::lease::{CancelRequest, Moved, control, heartbeat};
use shared::db::{self, Database};
use shared::task::{Epoch, TaskId, WorkerId};
use tokio_util::sync::CancellationToken;

use super::{Leases, Owner, deadline};
use crate::engine::clock::BootInstant;
use crate::events;
use crate::identity::Identity;

/// How often progress is stored, and a person's word looked for: one statement a worker that runs something.
const CONTROL: Duration = Duration::from_secs(2);
/// How soon a heartbeat that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl Leases {
    /// Extends the leases, and reports the worker, every `every` until `stop`; `work` is the pool of all other work.
    pub async fn run(
        &self,
        database: &Database,
        work: &Database,
        identity: &Identity,
        lease: Duration,
        every: Duration,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let reporting = async {
            loop {
                let report =
                    async { identity.report(&database.client().await?, work.status().exhausted).await };
                tokio::select! {
                    reported = db::within(every, report) => if let Err(error) = reported {
                        events::report_failed(&error.to_string());
                    },
                    () = stop.cancelled() => {}
                }
                if tokio::time::timeout(every, stop.cancelled()).await.is_ok() {
                    break identity.leave(database, every * 3).await;
                }
            }
        };
        tokio::join!(reporting, self.extend(database, identity.id, lease, every, stop));
        Ok(())
    }

    /// Extends the leases every `every`, and passes the word of people on, until `stop`.
    pub async fn extend(
        &self,
        database: &Database,
        worker: WorkerId,
        lease: Duration,
        every: Duration,
        stop: &CancellationToken,
    ) {
        tokio::join!(
            self.run_heartbeat(database, worker, lease, every, stop),
            self.run_control(database, worker, stop)
        );
    }

    async fn run_heartbeat(
        &self,
        database: &Database,
        worker: WorkerId,
        lease: Duration,
        every: Duration,
        stop: &CancellationToken,
    ) {
        let mut rest = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.doubt.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
            let beaten = tokio::select! {
                beaten = db::within(every, self.beat(database, worker, lease)) => beaten,
                () = stop.cancelled() => return,
            };
            self.health.send_modify(|health| health.heartbeat = beaten.is_ok());
            rest = if beaten.is_ok() { every } else { every.min(RETRY) };
            if let Err(failure) = beaten {
                events::heartbeat_failed(&failure.to_string());
            }
        }
    }

    async fn beat(&self, database: &Database, worker: WorkerId, lease: Duration) -> Result<(), db::Error> {
        let client = database.client().await?;
        let (recording, running) = self.owned();
        // Also with nothing to extend: whether it can be done is what claims wait to know.
        self.extend_once(&client, worker, lease, &running).await?;
        // What is being recorded may be locked by that very transaction: running work does not wait for it.
        if !recording.is_empty()
            && let Err(error) = self.extend_once(&client, worker, lease, &recording).await
        {
            events::control_failed(&error.to_string());
        }
        Ok(())
    }

    async fn extend_once<C: GenericClient>(
        &self,
        client: &C,
        worker: WorkerId,
        lease: Duration,
        beats: &[Owner],
    ) -> Result<(), db::Error> {
        let deadline = deadline(lease);
        let kept = heartbeat(client, worker, lease, beats).await?;
        self.settle(beats, &kept.into_iter().collect(), deadline);
        Ok(())
    }

    /// What has ended and is being recorded, and what runs.
    fn owned(&self) -> (Vec<Owner>, Vec<Owner>) {
        let (mut recording, mut running) = (Vec::new(), Vec::new());
        for (task, held) in self.lock().iter() {
            let owners = if held.has_ended() { &mut recording } else { &mut running };
            owners.push((*task, held.epoch));
        }
        (recording, running)
    }

    fn settle(&self, beats: &[Owner], kept: &HashMap<TaskId, Epoch>, deadline: BootInstant) {
        let held = self.lock();
        for (task, epoch) in beats {
            // A task that ended meanwhile is not held any more.
            let Some(held) = held.get(task).filter(|held| held.epoch == *epoch) else { continue };
            if kept.get(task) == Some(epoch) {
                held.deadline.send_replace(deadline);
            } else if !held.has_ended() && held.fenced.set(()).is_ok() {
                events::fenced(*task, *epoch);
            }
        }
    }

    async fn run_control(&self, database: &Database, worker: WorkerId, stop: &CancellationToken) {
        while tokio::time::timeout(CONTROL, stop.cancelled()).await.is_err() {
            let asked = tokio::select! {
                asked = db::within(CONTROL * 5, self.control(database, worker)) => asked,
                () = stop.cancelled() => return,
            };
            match asked {
                Ok(asked) => self.tell(&asked),
                // The heartbeat says what is wrong with the database.
                Err(error) => events::control_failed(&error.to_string()),
            }
        }
    }

    async fn control(&self, database: &Database, worker: WorkerId) -> Result<Vec<CancelRequest>, db::Error> {
        let Some(moved) = self.moved() else { return Ok(Vec::new()) };
        control(&database.client().await?, worker, &moved).await
    }

    /// The tasks whose progress is new; `None` while nothing runs.
    fn moved(&self) -> Option<Vec<Moved>> {
        let held = self.lock();
        if held.is_empty() {
            return None;
        }
        let moved = held.iter().filter_map(|(task, held)| {
            let progress = held.progress().take()?;
            Some(Moved { task: *task, epoch: held.epoch, progress })
        });
        Some(moved.collect())
    }

    fn tell(&self, asked: &[CancelRequest]) {
        let held = self.lock();
        for CancelRequest { task, epoch, by } in asked {
            if let Some(held) = held.get(task).filter(|held| held.epoch == *epoch) {
                // It counts who asked first.
                _ = held.cancelled_by.set(by.clone());
            }
        }
    }
}
