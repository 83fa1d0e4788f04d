//! Quarantine: a task that lost two workers runs alone in a process, so that it takes no neighbours along.
//!
//! The worker claims it as any other and hands it, still running, to a child that executes and records it under the
//! same lease. The child extends the lease itself; it gives the task back when its worker goes away, which closes its
//! standard input.

mod alone;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::db::lease::Leased;
use shared::settings::Sources;
use shared::task::{Ended, Epoch, Postponed, TaskId, WorkerId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use alone::alone;
pub(crate) use alone::tell;

use crate::engine::clock::BootInstant;
use crate::events;
use crate::identity::Counter;
use crate::lease::Lease;
use crate::metrics::Recorded;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::traced::{Carried, Traced};
use crate::worker::Worker;

/// How long the child may take to give its task back.
const HAND_BACK: Duration = Duration::from_secs(5);
/// What the child says once it has taken its task over.
const BEGUN: &str = "begun";

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
    /// Its trace, if it is traced.
    traced: Option<Carried>,
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
    /// lease comes back with what is to be recorded here.
    ///
    /// A child that has not ended by `limit` is beyond ending itself, and is killed.
    pub async fn run(
        &self,
        (leased, plan): (&Leased, &Plan),
        lease: Lease,
        traced: Option<&Traced>,
        worker: &Worker,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Option<(Lease, Outcome)> {
        // To wait here would be to wait among neighbours.
        let Ok(_process) = self.processes.try_acquire() else {
            return Some((lease, Outcome::new(Ended::Postponed(Postponed::Crowded))));
        };
        let (task, epoch) = (leased.task.id, leased.epoch);
        events::quarantined(task, leased.rescues);
        worker.identity.counters.count(Counter::Quarantined);
        let deadline = lease.deadline();
        let traced = traced.map(Traced::carried);
        let handover = Handover { worker: worker.identity.id, task, epoch, deadline, traced };
        let child = match self.spawn(&handover).await {
            Ok(child) => child,
            Err(error) => return Some((lease, not_begun(&error.to_string()))),
        };
        // A child that hangs must not keep its lease for ever: only the child extends it.
        worker.leases.lend(lease);
        let (end, said) = wait(child, limit, stop).await;
        // It measures nothing itself: nobody could ask it.
        let told = said.lines().filter_map(|line| serde_json::from_str::<Recorded>(line).ok());
        told.for_each(|recorded| recorded.count());
        let lease = worker.leases.take_back(leased, plan, deadline);
        // What its process recorded all the same, unheard, makes this fenced.
        let outcome = match end {
            End::Recorded => return None,
            End::NotBegun(how) => not_begun(&how),
            End::Stopped => Outcome::new(Ended::Interrupted),
            End::Died(how) => {
                events::quarantine_died(task, &how);
                Outcome { detail: Some(json!({ "process": how })), ..Outcome::new(Ended::Lost) }
            }
        };
        Some((lease, outcome))
    }

    async fn spawn(&self, handover: &Handover) -> std::io::Result<Child> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
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

/// How the child ended.
enum End {
    /// It has recorded what came of its task, or found it owned by somebody else.
    Recorded,
    /// It could not take its task over.
    NotBegun(String),
    /// It was ended by this worker's stop.
    Stopped,
    /// Its task took it along.
    Died(String),
}

/// Waits for the child's end, and returns what it said as well; a stop closes its standard input, which tells it to give its task back.
async fn wait(mut child: Child, limit: Duration, stop: &CancellationToken) -> (End, String) {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let said = async {
        let mut said = String::new();
        if let Some(mut stdout) = stdout {
            // What cannot be read was not said.
            _ = stdout.read_to_string(&mut said).await;
        }
        said
    };
    let ending = async { tokio::join!(child.wait(), said) };
    let mut ending = std::pin::pin!(ending);
    let (exit, said) = tokio::select! {
        ended = &mut ending => ended,
        () = tokio::time::sleep(limit) => {
            return (End::Died(format!("killed after {} s", limit.as_secs())), String::new());
        }
        () = stop.cancelled() => {
            drop(stdin);
            match tokio::time::timeout(HAND_BACK, ending).await {
                Ok(ended) => ended,
                // The child is killed as it is dropped.
                Err(_) => return (End::Stopped, String::new()),
            }
        }
    };
    let end = match exit {
        Ok(exit) if exit.success() => End::Recorded,
        Ok(exit) if said.contains(BEGUN) => End::Died(exit.to_string()),
        Ok(exit) => End::NotBegun(exit.to_string()),
        Err(error) => End::Died(error.to_string()),
    };
    (end, said)
}

/// Another attempt may find its process.
fn not_begun(how: &str) -> Outcome {
    let error = format!("its process, in which it has to run alone, could not begin: {how}");
    Outcome::new(Ended::Failed { retryable: true, error })
}
