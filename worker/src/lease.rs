//! The leases that this worker holds, the heartbeat that extends them, and the word of people who end their work.
//!
//! The worker fences itself: a deadline on a clock that counts suspend is taken before each extension is asked for,
//! so that it can only be earlier than the database's. Work that outlives its deadline ends by itself.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::GenericClient;
use serde_json::Value;
use shared::admin::dump::Running;
use shared::db::lease::{CancelRequest, Leased, Moved, control, heartbeat};
use shared::db::{self, Database};
use shared::task::{Epoch, TaskId, TaskKind, WorkerId};
use tokio::sync::{Notify, SetOnce, watch};
use tokio_util::sync::CancellationToken;

use crate::engine::clock::BootInstant;
use crate::events;
use crate::identity::Identity;
use crate::plan::Plan;

/// How often progress is stored, and a person's word looked for: one statement a worker that runs something.
const CONTROL: Duration = Duration::from_secs(2);
/// How soon a heartbeat that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Until when work may go on under a lease that is about to be asked for. The margin is for clocks that run unevenly,
/// and for the moment that ending an operation takes.
#[must_use]
pub fn deadline(lease: Duration) -> BootInstant {
    BootInstant::from_now(lease.mul_f64(0.95))
}

/// A task with the epoch as whose owner this worker holds it.
type Owner = (TaskId, Epoch);

/// All leases of this worker.
#[derive(Debug)]
pub struct Leases {
    held: Mutex<HashMap<TaskId, Arc<Held>>>,
    /// Held by a child of this process.
    lent: Mutex<HashSet<TaskId>>,
    health: watch::Sender<Health>,
    /// Wakes the heartbeat before its time.
    doubt: Notify,
}

/// Whether the database does what it is asked.
#[derive(Debug, Clone, Copy)]
struct Health {
    /// The last heartbeat succeeded.
    heartbeat: bool,
    /// So did the last claim, or none was tried.
    claim: bool,
}

/// What the heartbeat and people say about one lease, and its executor about the work.
#[derive(Debug)]
struct Held {
    task: TaskId,
    kind: TaskKind,
    plan: Plan,
    attempt: i32,
    epoch: Epoch,
    since: Instant,
    /// Until when the work may go on; moves with each heartbeat.
    deadline: watch::Sender<BootInstant>,
    /// Told when somebody else owns the task now.
    fenced: SetOnce<()>,
    cancelled_by: SetOnce<String>,
    /// Reported since it was stored last.
    progress: Mutex<Option<Value>>,
    /// A [`Stage`].
    stage: AtomicU8,
}

/// How far a task is that is owned; each comes after the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Stage {
    /// It is about to be executed.
    Claimed,
    /// It is executed.
    Executing,
    /// It has ended, and is being recorded.
    Recording,
}

impl Stage {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Claimed, "claimed"), (Self::Executing, "executing"), (Self::Recording, "recording")];
}

impl Held {
    fn has_ended(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= Stage::Recording as u8
    }

    fn running(&self) -> Running {
        let stage = self.stage.load(Ordering::Relaxed);
        let stage = Stage::ALL.iter().find(|(of, _)| *of as u8 == stage);
        Running {
            id: self.task.to_string(),
            kind: self.kind.to_string(),
            job: self.plan.job().map(|plan| plan.job.job.name.to_string()),
            attempt: self.attempt,
            epoch: self.epoch.0,
            stage: stage.map_or("unknown", |(_, name)| name).to_owned(),
            seconds: self.since.elapsed().as_secs_f64(),
            progress: self.progress().clone(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Option<Value>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lease: it is extended until this is dropped.
#[derive(Debug)]
pub struct Lease {
    held: Arc<Held>,
    leases: Arc<Leases>,
}

impl Lease {
    /// Until when the work may go on.
    #[must_use]
    pub fn deadline(&self) -> BootInstant {
        *self.held.deadline.borrow()
    }

    /// The deadline, and each that takes its place.
    #[must_use]
    pub fn deadlines(&self) -> watch::Receiver<BootInstant> {
        self.held.deadline.subscribe()
    }

    /// Says how far the work is; it is stored within seconds.
    pub fn report(&self, progress: Value) {
        *self.held.progress() = Some(progress);
    }

    /// Says that the work begins.
    pub fn begin(&self) {
        self.held.stage.store(Stage::Executing as u8, Ordering::Relaxed);
    }

    /// Says that the work is over: the lease is kept until it is recorded, and its end then is no fencing.
    pub fn end(&self) {
        self.held.stage.store(Stage::Recording as u8, Ordering::Relaxed);
    }

    /// Whether the work may go on at this moment.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.deadline().is_past() && self.held.fenced.get().is_none()
    }

    /// Waits until the lease is lost: fenced, or not extended in time.
    pub async fn lost(&self) {
        loop {
            let remaining = self.deadline().remaining();
            if remaining.is_zero() {
                return;
            }
            tokio::select! {
                &() = self.held.fenced.wait() => return,
                // Short naps, because timers do not count suspend.
                () = tokio::time::sleep(remaining.min(Duration::from_millis(250))) => {}
            }
        }
    }

    /// Waits until a person asks for the end of the work, and says who.
    pub async fn cancelled(&self) -> String {
        self.held.cancelled_by.wait().await.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.lock();
        // A later attempt of the same task may have taken the place.
        if held.get(&self.held.task).is_some_and(|held| Arc::ptr_eq(held, &self.held)) {
            held.remove(&self.held.task);
        }
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            lent: Mutex::default(),
            health: watch::Sender::new(Health { heartbeat: true, claim: true }),
            doubt: Notify::new(),
        }
    }
}

impl Leases {
    /// Holds a lease that was just claimed; `deadline` was taken before the claim was asked for.
    pub fn hold(self: &Arc<Self>, leased: &Leased, plan: &Plan, deadline: BootInstant) -> Lease {
        let task = leased.task.id;
        let held = Arc::new(Held {
            task,
            kind: leased.task.kind,
            plan: plan.clone(),
            attempt: leased.attempt,
            epoch: leased.epoch,
            since: Instant::now(),
            deadline: watch::Sender::new(deadline),
            fenced: SetOnce::new(),
            cancelled_by: SetOnce::new(),
            progress: Mutex::default(),
            stage: AtomicU8::new(Stage::Claimed as u8),
        });
        self.lock().insert(task, held.clone());
        Lease { held, leases: self.clone() }
    }

    /// Whether this worker, or a child of it, runs a task.
    pub fn knows(&self, task: TaskId) -> bool {
        self.lock().contains_key(&task) || self.lent().contains(&task)
    }

    /// Leaves a lease to a child of this process, which extends it from now on, until [`Leases::take_back`].
    pub fn lend(&self, lease: Lease) {
        self.lent().insert(lease.held.task);
        drop(lease);
    }

    /// Holds a lease again that was left to a child, as it was then.
    pub fn take_back(self: &Arc<Self>, leased: &Leased, plan: &Plan, deadline: BootInstant) -> Lease {
        let lease = self.hold(leased, plan, deadline);
        self.lent().remove(&leased.task.id);
        lease
    }

    /// How many this worker holds, those of its children not among them.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The tasks that this worker owns, but for those that it has left to a child.
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        self.lock().values().map(|held| held.running()).collect()
    }

    /// Whether the last heartbeat succeeded, and so did the last claim.
    pub fn are_kept(&self) -> bool {
        let health = self.health.borrow();
        health.heartbeat && health.claim
    }

    /// Waits until the last heartbeat succeeded: nothing is claimed that could not be kept.
    pub async fn healthy(&self) {
        // The sender lives as long as `self`.
        _ = self.health.subscribe().wait_for(|health| health.heartbeat).await;
    }

    /// Waits until claims succeed as far as is known.
    pub async fn able(&self) {
        _ = self.health.subscribe().wait_for(|health| health.heartbeat && health.claim).await;
    }

    /// Waits until nothing could be claimed for so long without a break.
    pub async fn unable_for(&self, duration: Duration) {
        let mut health = self.health.subscribe();
        loop {
            _ = health.wait_for(|health| !health.heartbeat || !health.claim).await;
            let recovered = health.wait_for(|health| health.heartbeat && health.claim);
            if tokio::time::timeout(duration, recovered).await.is_err() {
                return;
            }
        }
    }

    /// Says whether the database took a claim. If not, the next heartbeat comes at once, and until it succeeds
    /// nothing is claimed.
    pub fn claimed(&self, taken: bool) {
        self.health.send_modify(|health| {
            health.claim = taken;
            health.heartbeat &= taken;
        });
        if !taken {
            self.doubt.notify_one();
        }
    }

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
                    break identity.leave(database).await;
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

    fn lent(&self) -> MutexGuard<'_, HashSet<TaskId>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Held>>> {
        // Nothing panics between a lock and its release; a map is never half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
