//! The leases that this worker holds, the heartbeat that extends them, and the word of people who end their work.
//!
//! The worker fences itself: a deadline on a clock that counts suspend is taken before each extension is asked for,
//! so that it can only be earlier than the database's. Work that outlives its deadline ends by itself.

mod heartbeat;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::admin::dump::Running;
use shared::db::lease::Leased;
use shared::task::{Epoch, TaskId, TaskKind};
use tokio::sync::{Notify, SetOnce, watch};

use crate::engine::clock::BootInstant;
use crate::plan::Plan;

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

    fn lent(&self) -> MutexGuard<'_, HashSet<TaskId>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Held>>> {
        // Nothing panics between a lock and its release; a map is never half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
