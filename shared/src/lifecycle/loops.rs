//! What the tasks of a process do: how often each was woken, how long ago, and whether it keeps a thread to itself.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What a task of the process does, as [`Loops::look`] saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: LoopState,
    /// Since it began, in seconds.
    pub seconds: f64,
    /// How often it was woken.
    pub wakes: u64,
    /// Since it was woken last, in seconds.
    pub idle_seconds: f64,
}

/// What a task of the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoopState {
    /// It waits for something.
    Waiting,
    /// It computes: for seconds it should not, because others need its thread.
    Working,
    /// It has ended.
    Ended,
}

impl LoopState {
    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Ended => "ended",
        }
    }
}

/// The tasks of a process.
#[derive(Debug, Clone, Default)]
pub struct Loops(Arc<Mutex<Vec<Arc<Watch>>>>);

#[derive(Debug)]
struct Watch {
    name: &'static str,
    since: Instant,
    wakes: AtomicU64,
    /// When it was woken last, in milliseconds after `since`.
    woken: AtomicU64,
    working: AtomicBool,
    ended: AtomicBool,
}

/// Says that a task has ended, also when it is dropped before its end or panics.
struct Ending(Arc<Watch>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Loops {
    /// Watches a task from now on.
    pub(super) fn watch<F: Future>(
        &self,
        name: &'static str,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let watch = Arc::new(Watch {
            name,
            since: Instant::now(),
            wakes: AtomicU64::new(0),
            woken: AtomicU64::new(0),
            working: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(watch.clone());
        let (mut task, ending) = (Box::pin(task), Ending(watch));
        poll_fn(move |context| {
            let watch = &ending.0;
            watch.wakes.fetch_add(1, Ordering::Relaxed);
            let woken = u64::try_from(watch.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            watch.woken.store(woken, Ordering::Relaxed);
            watch.working.store(true, Ordering::Relaxed);
            let polled = task.as_mut().poll(context);
            watch.working.store(false, Ordering::Relaxed);
            polled
        })
    }

    /// What they do at this moment, in the order in which they began.
    #[must_use]
    pub fn look(&self) -> Vec<Loop> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|watch| watch.look()).collect()
    }
}

impl Watch {
    fn look(&self) -> Loop {
        let age = self.since.elapsed();
        let woken = Duration::from_millis(self.woken.load(Ordering::Relaxed));
        let state = if self.ended.load(Ordering::Relaxed) {
            LoopState::Ended
        } else if self.working.load(Ordering::Relaxed) {
            LoopState::Working
        } else {
            LoopState::Waiting
        };
        Loop {
            name: self.name.to_owned(),
            state,
            seconds: age.as_secs_f64(),
            wakes: self.wakes.load(Ordering::Relaxed),
            idle_seconds: age.saturating_sub(woken).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_task_is_seen_to_wait_and_to_end() {
        let loops = Loops::default();
        let (tell, told) = oneshot::channel::<()>();
        let mut task = Box::pin(loops.watch("relay", told));
        assert!(task.as_mut().now_or_never().is_none());
        let seen = loops.look();
        assert_eq!((seen[0].name.as_str(), seen[0].state, seen[0].wakes), ("relay", LoopState::Waiting, 1));
        tell.send(()).unwrap();
        assert!(task.as_mut().now_or_never().is_some());
        drop(task);
        assert_eq!((loops.look()[0].state, loops.look()[0].wakes), (LoopState::Ended, 2));
    }

    #[test]
    fn a_task_that_computes_is_seen_to_work() {
        let loops = Loops::default();
        let look = loops.clone();
        let seen = loops.watch("busy", async move { look.look() }).now_or_never().unwrap();
        assert_eq!(seen[0].state, LoopState::Working);
    }
}
