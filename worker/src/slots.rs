//! The slots of a pool, and whether they are all taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The right to run one task; giving it up frees the slot.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// The slots of a pool.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
    total: usize,
    saturated: watch::Sender<bool>,
}

impl Slots {
    /// `total` free slots.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(total)), total, saturated: watch::Sender::new(false) }
    }

    /// All slots, free or not.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Counts the free slots.
    #[must_use]
    pub fn free(&self) -> Arc<Semaphore> {
        self.free.clone()
    }

    /// Tells when tasks had to be parked, so that consuming more would be in vain.
    #[must_use]
    pub fn saturated(&self) -> watch::Receiver<bool> {
        self.saturated.subscribe()
    }

    /// Waits until a slot is free, and ends the saturation.
    pub async fn freed(&self) {
        // The semaphore is never closed.
        _ = self.free.acquire().await;
        self.saturated.send_replace(false);
    }

    /// Says that tasks had to be parked.
    pub fn saturate(&self) {
        self.saturated.send_replace(true);
    }

    /// Waits for a free slot.
    pub async fn take(&self) -> Slot {
        match self.free.clone().acquire_owned().await {
            Ok(permit) => Slot { _permit: permit },
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}
