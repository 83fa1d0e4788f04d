//! The slots of a pool: how many of its tasks run at once. Both their number and whether they are given out can be changed
//! while tasks run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shared::db::pool_setting::PoolState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The right to run one task; giving it up frees the slot.
#[derive(Debug)]
pub struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    slots: Slots,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let one_less = |excess: usize| excess.checked_sub(1);
        if self.slots.0.excess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            permit.forget();
        }
    }
}

/// The slots of a pool.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    /// Slots that are taken and will not be free again.
    excess: AtomicUsize,
    setting: watch::Sender<Setting>,
}

/// What a pool was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its slots.
    pub total: usize,
    /// Whether they are given out, and whether what runs may go on.
    pub state: PoolState,
}

impl Setting {
    /// Whether slots are given out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == PoolState::Running
    }
}

impl Slots {
    /// `total` free slots.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let setting = watch::Sender::new(Setting { total, state: PoolState::Running });
        Self(Arc::new(Shared { free: Arc::new(Semaphore::new(total)), excess: AtomicUsize::new(0), setting }))
    }

    /// All slots, free or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.setting.borrow().total
    }

    /// How many are taken: more than all for a while after there were more.
    #[must_use]
    pub fn busy(&self) -> usize {
        let excess = self.0.excess.load(Ordering::Relaxed);
        (self.total() + excess).saturating_sub(self.0.free.available_permits())
    }

    /// How many are free at this moment.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.free.available_permits()
    }

    /// What the pool was told, and each change of it.
    pub fn setting(&self) -> watch::Receiver<Setting> {
        self.0.setting.subscribe()
    }

    /// Changes the number of slots, and whether they are given out. Tasks that run keep theirs.
    pub fn set(&self, setting: Setting) {
        self.0.setting.send_if_modified(|before| {
            self.resize(before.total, setting.total);
            std::mem::replace(before, setting) != setting
        });
    }

    fn resize(&self, before: usize, now: usize) {
        let Shared { free, excess, .. } = &*self.0;
        if now > before {
            let more = now - before;
            let kept = |excess: usize| Some(excess.saturating_sub(more));
            let was = excess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, kept).unwrap_or(0);
            free.add_permits(more.saturating_sub(was));
        } else {
            let less = before - now;
            excess.fetch_add(less - free.forget_permits(less), Ordering::Relaxed);
        }
    }

    /// Waits for a free slot.
    pub async fn take(&self) -> Slot {
        let mut setting = self.0.setting.subscribe();
        loop {
            // The sender lives as long as `self`.
            _ = setting.wait_for(Setting::is_open).await;
            // The semaphore is never closed.
            let Ok(permit) = self.0.free.clone().acquire_owned().await else { std::future::pending().await };
            // Whatever comes of it, it is given up as a slot.
            let slot = Slot { permit: Some(permit), slots: self.clone() };
            if setting.borrow().is_open() {
                return slot;
            }
        }
    }

    /// A free slot, if there is one.
    #[must_use]
    pub fn try_take(&self) -> Option<Slot> {
        let permit = self.0.free.clone().try_acquire_owned().ok()?;
        let slot = Slot { permit: Some(permit), slots: self.clone() };
        self.0.setting.borrow().is_open().then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn taken(slots: &Slots) -> Vec<Slot> {
        std::iter::from_fn(|| slots.try_take()).collect()
    }

    fn set(slots: &Slots, total: usize, state: PoolState) {
        slots.set(Setting { total, state });
    }

    #[test]
    fn slots_that_are_taken_away_while_they_are_in_use_do_not_come_back() {
        let slots = Slots::new(4);
        let mut running = taken(&slots);
        set(&slots, 1, PoolState::Running);
        assert_eq!((slots.total(), slots.busy()), (1, 4));
        running.truncate(1);
        assert_eq!((taken(&slots).len(), slots.busy()), (0, 1));
        drop(running);
        assert_eq!(taken(&slots).len(), 1);
    }

    #[test]
    fn slots_that_are_added_again_before_the_others_came_back_are_as_many_as_were_asked_for() {
        let slots = Slots::new(4);
        let running = taken(&slots);
        set(&slots, 1, PoolState::Running);
        set(&slots, 6, PoolState::Running);
        let more = taken(&slots);
        assert_eq!(more.len(), 2);
        drop((running, more));
        assert_eq!(taken(&slots).len(), 6);
    }

    #[test]
    fn a_closed_pool_gives_out_nothing_until_it_is_opened() {
        let slots = Slots::new(1);
        set(&slots, 1, PoolState::Paused);
        assert!(slots.try_take().is_none());
        let mut waiting = Box::pin(slots.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        set(&slots, 1, PoolState::Running);
        assert!(waiting.as_mut().now_or_never().is_some());
    }
}
