//! Quarantine: a task that lost two workers runs alone in a process, so that it takes no neighbours along.
//!
//! The worker claims it as any other and hands it, still running, to a child that executes and records it under the
//! same lease. The child extends the lease itself; it gives the task back when its worker goes away, which closes its
//! standard input.

mod alone;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::db::lease::Leased;
use shared::settings::Sources;
use shared::task::{Ended, Epoch, Postponed, TaskId, WorkerId};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use alone::alone;

use crate::engine::clock::BootInstant;
use crate::events;
use crate::lease::{Lease, Leases};

/// How long the child may take to give its task back.
const HAND_BACK: Duration = Duration::from_secs(8);

/// Processes at once: each has database connections of its own.
const PROCESSES: usize = 4;

/// Starts processes that run one task each.
#[derive(Debug)]
pub struct Quarantine {
    program: PathBuf,
    arguments: Vec<OsString>,
    processes: Semaphore,
}

/// What the child is told, as one line on its standard input.
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    worker: WorkerId,
    task: TaskId,
    epoch: Epoch,
    /// Until when the lease is sure to last.
    deadline: BootInstant,
}

impl Quarantine {
    /// `program` is the worker's own executable, `sources` what it was configured with.
    #[must_use]
    pub fn new(program: PathBuf, sources: &Sources) -> Self {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(config) = &sources.config {
            arguments.extend(["--config".into(), config.into()]);
        }
        for setting in &sources.overrides {
            arguments.extend(["--set".into(), setting.into()]);
        }
        arguments.push("alone".into());
        Self { program, arguments, processes: Semaphore::new(PROCESSES) }
    }

    /// Runs a claimed task in a child to its end. `None` when the child has recorded what came out; otherwise the
    /// lease comes back with the end that is to be recorded here.
    pub async fn run(
        &self,
        leased: &Leased,
        lease: Lease,
        all: &Arc<Leases>,
        worker: WorkerId,
        stop: &CancellationToken,
    ) -> Option<(Lease, Ended)> {
        // To wait here would be to wait among neighbours.
        let Ok(_process) = self.processes.try_acquire() else {
            return Some((lease, Ended::Postponed(Postponed::Crowded)));
        };
        let (task, epoch) = (leased.task.id, leased.epoch);
        events::quarantined(task, leased.rescues);
        let deadline = *lease.deadline.borrow();
        let handover = Handover { worker, task, epoch, deadline };
        let child = match self.spawn(&handover).await {
            Ok(child) => child,
            Err(error) => {
                let error = format!("cannot start {} for it alone: {error}", self.program.display());
                return Some((lease, Ended::Failed { retryable: true, error }));
            }
        };
        // A child that hangs must not keep its lease for ever: only the child extends it.
        all.lend(lease);
        let exit = wait(child, stop).await;
        let lease = all.take_back(task, epoch, deadline);
        let how = match exit {
            Ok(exit) if exit.success() => return None,
            Ok(exit) => exit.to_string(),
            Err(error) => error.to_string(),
        };
        events::quarantine_died(task, &how);
        // Its process has gone without a word. If it had recorded all the same, this is fenced.
        Some((lease, Ended::Lost))
    }

    async fn spawn(&self, handover: &Handover) -> std::io::Result<Child> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut line = serde_json::to_vec(handover)?;
        line.push(b'\n');
        if let Some(stdin) = &mut child.stdin {
            // A child that died already is noticed by its status.
            _ = stdin.write_all(&line).await;
        }
        Ok(child)
    }
}

/// Waits for the child's end; a stop closes its standard input, which tells it to give its task back.
async fn wait(mut child: Child, stop: &CancellationToken) -> std::io::Result<std::process::ExitStatus> {
    let stdin = child.stdin.take();
    tokio::select! {
        status = child.wait() => return status,
        () = stop.cancelled() => {}
    }
    drop(stdin);
    if let Ok(status) = tokio::time::timeout(HAND_BACK, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}
