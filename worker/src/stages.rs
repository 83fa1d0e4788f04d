//! What lies before each stage of the pools, for whoever looks into the worker.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::admin::dump::Stage;
use shared::task::TaskKind;
use tokio::sync::mpsc;

/// The channels between the stages of all pools.
#[derive(Default)]
pub struct Stages(Mutex<Vec<Look>>);

/// Looks what is in a channel; `None` once nobody sends into it any more.
type Look = Box<dyn Fn() -> Option<Stage> + Send + Sync>;

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stages").field(&self.look()).finish()
    }
}

impl Stages {
    /// Looks into the channel before a stage from now on. It does not keep it open.
    pub fn watch<T: Send + 'static>(&self, pool: TaskKind, stage: &'static str, into: &mpsc::Sender<T>) {
        let into = into.downgrade();
        let look = Box::new(move || {
            let into = into.upgrade()?;
            Some(Stage {
                pool: pool.to_string(),
                stage: stage.to_owned(),
                waiting: into.max_capacity() - into.capacity(),
                most: into.max_capacity(),
            })
        });
        self.lock().push(look);
    }

    /// What lies before the stages at this moment.
    #[must_use]
    pub fn look(&self) -> Vec<Stage> {
        self.lock().iter().filter_map(|look| look()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_channel_is_seen_and_the_channel_is_not_kept_open() {
        let stages = Stages::default();
        let (into, mut out) = mpsc::channel(3);
        stages.watch(TaskKind::Backup, "claim", &into);
        into.try_send(1).unwrap();
        into.try_send(2).unwrap();
        let seen = stages.look();
        assert_eq!((seen.len(), seen[0].waiting, seen[0].most), (1, 2, 3));
        drop(into);
        assert!(out.try_recv().is_ok() && out.try_recv().is_ok());
        assert_eq!(out.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(stages.look(), []);
    }
}
