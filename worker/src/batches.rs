//! Batches that grow with the load: each is what came while the one before was worked off, and a little more.

use std::time::Duration;

use tokio::sync::mpsc;

/// The most items of a batch: a transaction of more takes too long to be begun anew. A channel that holds as many can
/// have a full batch ready when the one before is worked off, and a full batch waits for nothing.
pub const MOST: usize = 3000;
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LINGER: Duration = Duration::from_millis(20);

    async fn send(items: &mpsc::Sender<usize>, many: usize) {
        for item in 0..many {
            items.send(item).await.unwrap();
        }
    }

    /// The size of the next batch, and how long it was waited for.
    async fn next(batches: &mut Batches<usize>) -> (Option<usize>, Duration) {
        let started = Instant::now();
        let batch = batches.next().await;
        (batch.map(|batch| batch.len()), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn without_load_nothing_waits() {
        let (items, received) = mpsc::channel(MOST);
        let mut batches = Batches::new(received, LINGER);
        for many in [1, BUSY - 1, BUSY] {
            send(&items, many).await;
            assert_eq!(next(&mut batches).await, (Some(many), Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_busy_batch_the_next_takes_what_comes_within_the_linger() {
        let (items, received) = mpsc::channel(MOST);
        let mut batches = Batches::new(received, LINGER);
        send(&items, BUSY).await;
        next(&mut batches).await;
        send(&items, 1).await;
        let later = async {
            tokio::time::sleep(LINGER / 2).await;
            send(&items, 2).await;
        };
        let (batch, ()) = tokio::join!(next(&mut batches), later);
        assert!(batch.0 == Some(3) && batch.1 >= LINGER, "{batch:?}");
        send(&items, 1).await;
        assert_eq!(next(&mut batches).await, (Some(1), Duration::ZERO), "a small batch ends the load");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_is_not_kept_waiting_and_what_is_too_much_is_left() {
        let (items, received) = mpsc::channel(2 * MOST);
        let mut batches = Batches::new(received, LINGER);
        send(&items, MOST).await;
        next(&mut batches).await;
        send(&items, MOST + 1).await;
        assert_eq!(next(&mut batches).await, (Some(MOST), Duration::ZERO));
        assert_eq!(next(&mut batches).await.0, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_items_come_before_the_end() {
        let (items, received) = mpsc::channel(MOST);
        let mut batches = Batches::new(received, LINGER);
        send(&items, BUSY).await;
        next(&mut batches).await;
        send(&items, 1).await;
        drop(items);
        assert_eq!(next(&mut batches).await.0, Some(1));
        assert_eq!(next(&mut batches).await.0, None);
    }
}
