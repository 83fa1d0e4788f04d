//! Who this worker is, how busy, and what it counted: what it says about itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::db::worker::{BatchCount, PoolUse, Received, Worker};
use shared::db::{self, Database};
use shared::task::{TaskKind, WorkerId};

use crate::engine::clock::BootInstant;
use crate::events;
use crate::slots::Slots;

/// Who this worker is, and how busy.
#[derive(Debug)]
pub struct Identity {
    /// Its process.
    pub id: WorkerId,
    /// What people call it.
    pub name: String,
    /// The slots of its pools.
    pub pools: BTreeMap<TaskKind, Slots>,
    /// Counts what its pools get from their queues.
    pub received: Intakes,
    /// Counts its transactions.
    pub batches: Batches,
    /// Counts what else is worth a number.
    pub counters: Counters,
    /// Before it told the database last that it is there, in nanoseconds of the machine.
    heard_at: AtomicU64,
}

impl Identity {
    /// A worker that the database does not know of yet.
    #[must_use]
    pub fn new(id: WorkerId, name: String, pools: BTreeMap<TaskKind, Slots>) -> Self {
        let (received, batches, counters) = (Intakes::default(), Batches::default(), Counters::default());
        Self { id, name, pools, received, batches, counters, heard_at: AtomicU64::new(0) }
    }

    /// Since when the database has not heard of it, at the worst.
    #[must_use]
    pub fn heard_at(&self) -> BootInstant {
        BootInstant::from_nanos(self.heard_at.load(Ordering::Relaxed))
    }

    /// Tells the database that this worker is there.
    pub async fn report<C: deadpool_postgres::GenericClient>(
        &self,
        client: &C,
        exhausted: u64,
    ) -> Result<(), db::Error> {
        let received = self.received.counts();
        let pool = |kind: TaskKind, slots: &Slots| PoolUse {
            slots: slots.total(),
            busy: slots.busy(),
            closed: !slots.setting().borrow().is_open(),
            received: received.get(&kind).copied().unwrap_or_default(),
        };
        let before = BootInstant::now();
        let mut counters = self.counters.counts();
        counters.insert("pool_exhausted".to_owned(), exhausted);
        let worker = Worker {
            id: self.id,
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pools: self.pools.iter().map(|(kind, slots)| (*kind, pool(*kind, slots))).collect(),
            batches: self.batches.counts(),
            counters,
        };
        db::worker::report(client, &worker).await?;
        self.heard_at.store(before.as_nanos(), Ordering::Relaxed);
        Ok(())
    }

    /// Tells the database that this worker is gone. Another one of its name lives if its last heartbeat was no longer than `lately` ago.
    pub async fn leave(&self, database: &Database, lately: Duration) {
        let left = async { db::worker::leave(&database.client().await?, self.id, lately).await };
        // A row that stays is swept later.
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(2), left).await {
            events::leave_failed(&error.to_string());
        }
    }
}

/// Counts messages and the tasks in them, by the kind of their queue.
#[derive(Debug, Default)]
pub struct Intakes(Mutex<BTreeMap<TaskKind, Received>>);

impl Intakes {
    /// One more message.
    pub fn count(&self, kind: TaskKind, tasks: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(kind).or_default();
        count.messages += 1;
        count.tasks += tasks as u64;
    }

    fn counts(&self) -> BTreeMap<TaskKind, Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts transactions and the tasks in them, by stage.
#[derive(Debug, Default)]
pub struct Batches(Mutex<BTreeMap<&'static str, BatchCount>>);

impl Batches {
    /// One more transaction of a stage.
    pub fn count(&self, stage: &'static str, tasks: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(stage).or_default();
        count.batches += 1;
        count.tasks += tasks as u64;
    }

    fn counts(&self) -> BTreeMap<String, BatchCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(stage, count)| ((*stage).to_owned(), *count)).collect()
    }
}

/// What is counted beside batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Results that came after their task had got another owner.
    Discarded,
    /// Attempts that ended because their lease was lost.
    Fenced,
    /// Tasks that ran alone, because they may be what their workers died of.
    Quarantined,
    /// Sessions that were started anew because a consumer had silently gone.
    ConsumersLost,
}

impl Counter {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Discarded, "discarded"),
        (Self::Fenced, "fenced"),
        (Self::Quarantined, "quarantined"),
        (Self::ConsumersLost, "consumers_lost"),
    ];
}

/// Counts events since the start.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Counter::ALL.len()]);

impl Counters {
    /// One more.
    pub fn count(&self, counter: Counter) {
        self.0[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let count = |(counter, name): (Counter, &str)| {
            (name.to_owned(), self.0[counter as usize].load(Ordering::Relaxed))
        };
        Counter::ALL.map(count).into_iter().collect()
    }
}
