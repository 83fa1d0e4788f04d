//! Batches that grow with the load: each is what came while the one before was worked off, and a little more.

use std::time::Duration;

use tokio::sync::mpsc;

/// The most items of a batch: a transaction of more takes too long to be begun anew.
const MOST: usize = 2000;
/// After so many at once the next are on their way, and a transaction costs more than a short wait for them.
const BUSY: usize = 100;

/// What comes through a channel, in batches.
pub struct Batches<T> {
    items: mpsc::Receiver<T>,
    linger: Duration,
    busy: bool,
}

impl<T> Batches<T> {
    /// Batches that wait for so long for more under load, and for nothing otherwise.
    pub const fn new(items: mpsc::Receiver<T>, linger: Duration) -> Self {
        Self { items, linger, busy: false }
    }

    /// The next batch; `None` when nothing comes any more. What a batch has taken is lost if this is dropped before its
    /// end.
    pub async fn next(&mut self) -> Option<Vec<T>> {
        let mut batch = Vec::new();
        self.items.recv_many(&mut batch, MOST).await;
        if self.busy && (1..MOST).contains(&batch.len()) {
            tokio::time::sleep(self.linger).await;
            batch.extend(std::iter::from_fn(|| self.items.try_recv().ok()).take(MOST - batch.len()));
        }
        self.busy = batch.len() >= BUSY;
        (!batch.is_empty()).then_some(batch)
    }
}
