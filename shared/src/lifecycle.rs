//! The life of a process: it starts tasks, stops them softly, then hard, and never outlives one that crashed.

mod loops;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use loops::{Loop, LoopState, Loops};

/// Tells tasks to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No new work; what runs may finish within the grace period.
    pub soft: CancellationToken,
    /// End now.
    pub hard: CancellationToken,
}

/// The tasks of a process.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    shutdown: Shutdown,
    tasks: TaskTracker,
    loops: Loops,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

impl Lifecycle {
    /// The tokens that tasks watch.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// What the tasks do.
    #[must_use]
    pub fn loops(&self) -> Loops {
        self.loops.clone()
    }

    /// Starts a task. Its failure, or its panic, ends the process with a failure; its success does not.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that starts tasks, because it watches their end"
    )]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let running = tokio::spawn(self.loops.watch(name, task));
        let lifecycle = self.clone();
        self.tasks.spawn(async move {
            let failure = match running.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.context(name),
                Err(panic) => anyhow::Error::new(panic).context(name),
            };
            lifecycle.fail(failure);
        });
    }

    /// Waits for what has to be there before the work begins; `false` if the process is to end before that.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub async fn before(&self, condition: impl Future<Output = ()>) -> anyhow::Result<bool> {
        let mut signals = Signals::new().context("installing the signal handlers")?;
        tokio::select! {
            () = condition => return Ok(true),
            () = self.shutdown.soft.cancelled() => {}
            name = signals.next() => tracing::info!(signal = name, "stopping before the work began"),
        }
        self.shutdown.soft.cancel();
        Ok(false)
    }

    fn fail(&self, failure: anyhow::Error) {
        tracing::error!(error = format!("{failure:#}"), "a task of this process failed: the process ends");
        if let Ok(mut first) = self.failure.lock() {
            first.get_or_insert(failure);
        }
        self.shutdown.soft.cancel();
        self.shutdown.hard.cancel();
    }

    /// Waits until a signal or a failure ends the process, and until its tasks have ended.
    ///
    /// SIGTERM or SIGINT stops softly; after `grace`, or at a second signal, hard.
    ///
    /// # Errors
    /// The failure of the task that failed first, or a task that does not end.
    pub async fn wait(self, grace: Duration) -> anyhow::Result<()> {
        let mut signals = Signals::new().context("installing the signal handlers")?;
        tokio::select! {
            () = self.shutdown.soft.cancelled() => {}
            name = signals.next() => {
                tracing::info!(signal = name, grace_seconds = grace.as_secs(), "stopping; a second signal stops at once");
                self.shutdown.soft.cancel();
            }
        }
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = tokio::time::sleep(grace) => tracing::warn!("the grace period is over"),
            name = signals.next() => tracing::warn!(signal = name, "a second signal"),
            () = self.shutdown.hard.cancelled() => {}
        }
        self.shutdown.hard.cancel();
        // What a task does after the hard token is bounded: it hands back what it holds.
        let ended = tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await;
        if let Ok(mut failure) = self.failure.lock()
            && let Some(failure) = failure.take()
        {
            return Err(failure);
        }
        ended.context("a part of this process did not end in time after it was told to")
    }
}

/// What ends a process: SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both from now on.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_task_that_panics_ends_the_process_with_its_failure() {
        let lifecycle = Lifecycle::default();
        let neighbour = lifecycle.shutdown().soft.clone();
        lifecycle.spawn("neighbour", async move {
            neighbour.cancelled().await;
            Ok(())
        });
        lifecycle.spawn("victim", async { panic!("out of cheese") });
        let failure = lifecycle.wait(GRACE).await.unwrap_err();
        assert!(format!("{failure:#}").contains("victim"), "{failure:#}");
    }

    #[tokio::test]
    async fn a_task_that_fails_ends_the_process_with_its_failure() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("victim", async { anyhow::bail!("out of cheese") });
        let failure = lifecycle.wait(GRACE).await.unwrap_err();
        assert_eq!(format!("{failure:#}"), "victim: out of cheese");
    }

    #[tokio::test]
    async fn a_soft_stop_lets_tasks_finish() {
        let lifecycle = Lifecycle::default();
        let soft = lifecycle.shutdown().soft.clone();
        let finished = Arc::new(Mutex::new(false));
        let mark = finished.clone();
        lifecycle.spawn("worker", async move {
            soft.cancelled().await;
            *mark.lock().unwrap() = true;
            Ok(())
        });
        lifecycle.shutdown().soft.cancel();
        lifecycle.wait(GRACE).await.unwrap();
        assert!(*finished.lock().unwrap());
    }
}
