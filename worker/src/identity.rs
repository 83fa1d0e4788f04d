//! Who this worker is, how busy, and what it counted: what it says about itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shared::db::worker::{BatchCount, PoolUse, Worker};
use shared::db::{self, Database};
use shared::task::{TaskKind, WorkerId};
use tokio::sync::Semaphore;

/// Who this worker is, and how busy.
#[derive(Debug)]
pub struct Identity {
    /// Its process.
    pub id: WorkerId,
    /// What people call it.
    pub name: String,
    /// The free slots of each pool, with all of them.
    pub pools: BTreeMap<TaskKind, (Arc<Semaphore>, usize)>,
    /// Counts its transactions.
    pub batches: Batches,
}

impl Identity {
    fn describe(&self) -> Worker {
        let pool = |(free, slots): &(Arc<Semaphore>, usize)| PoolUse {
            slots: *slots,
            busy: slots.saturating_sub(free.available_permits()),
        };
        Worker {
            id: self.id,
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pools: self.pools.iter().map(|(kind, slots)| (*kind, pool(slots))).collect(),
            batches: self.batches.counts(),
        }
    }

    async fn leave(&self, database: &Database) {
        let left = async { db::worker::leave(&database.client().await?, self.id).await };
        // A row that stays is swept later.
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(2), left).await {
            events::heartbeat_failed(&error.to_string());
        }
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
