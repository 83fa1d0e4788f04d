//! The child's side: one task, executed and recorded in this process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use shared::db::{self, Database};
use shared::lifecycle::Lifecycle;
use shared::trace::Exporter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{BEGUN, Handover};
use crate::claim::Claimed;
use crate::config::Config;
use crate::metrics::Recorded;
use crate::plan::Plan;
use crate::slots::Slots;
use crate::traced::Traced;
use crate::worker::Worker;
use crate::{execute, record};

/// One for the heartbeat, one for progress, and two for the task.
const CONNECTIONS: usize = 4;

/// Runs the one task that standard input names, until it is recorded, its lease is lost, or the input ends.
///
/// # Errors
/// The task could not be taken over; its worker sees that by the exit code.
pub async fn alone(config: Config) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::default();
    let traces = Exporter::start(&config.traces, "worker", &config.name)?;
    let handover = listen(lifecycle.shutdown().hard.clone())?;
    let (lease, heartbeat, grace) = (config.lease, config.heartbeat, config.grace);
    let worker = Arc::new(Worker::alone(config, handover.worker)?);
    let Some(claimed) = take_over(&worker, handover).await? else {
        // Somebody else owns it by now.
        return Ok(());
    };
    // From here on, an end without a result says that the task ended this process.
    println!("{BEGUN}");
    let recorded = CancellationToken::new();
    let (beating, stop) = (worker.clone(), recorded.clone());
    lifecycle.spawn("heartbeat", async move {
        beating.leases.extend(&beating.database, beating.identity.id, lease, heartbeat, &stop).await;
        Ok(())
    });
    let hard = lifecycle.shutdown().hard.clone();
    let soft = lifecycle.shutdown().soft.clone();
    lifecycle.spawn("task", async move {
        let _ended = recorded.drop_guard();
        let (claims, to_execute) = mpsc::channel(1);
        let (finished, to_record) = mpsc::channel(1);
        _ = claims.send(claimed).await;
        drop(claims);
        let ((), recorded) =
            tokio::join!(execute::run(to_execute, finished, &worker, &hard), record::run(to_record, &worker));
        soft.cancel();
        recorded
    });
    let ended = lifecycle.wait(grace).await;
    traces.finish().await;
    ended
}

/// Tells the worker what was recorded, for its metrics.
pub(crate) fn tell(recorded: &Recorded) {
    // A pipe that nobody reads any more belongs to a worker that has gone.
    if let Ok(line) = serde_json::to_string(recorded) {
        _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// Reads which task to run, and cancels `gone` at the end of the input: it ends with the worker, or when that wants
/// the task back. The thread is none of the runtime's, which would wait for it at the end of the process.
fn listen(gone: CancellationToken) -> anyhow::Result<Handover> {
    let mut input = BufReader::new(std::io::stdin());
    let mut line = String::new();
    input.read_line(&mut line).context("reading which task to run")?;
    let handover = serde_json::from_str(&line).context("reading which task to run")?;
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        // Nothing more is ever said, and an input that cannot be read has ended as well.
        _ = input.read_to_end(&mut Vec::new());
        gone.cancel();
    })?;
    Ok(handover)
}

/// The task as its worker claimed it; `None` if its lease is over.
async fn take_over(worker: &Worker, handover: Handover) -> Result<Option<Claimed>, db::Error> {
    let client = worker.database.client().await?;
    let leased = db::lease::owned(&client, handover.worker, handover.task, handover.epoch).await?;
    let Some(leased) = leased else { return Ok(None) };
    let mut jobs = worker.definitions.current(&client).await?.load(&client, leased.task.job).await?;
    let plan: Plan = leased.task.job.and_then(|job| jobs.remove(&job)).into();
    let lease = worker.leases.hold(&leased, &plan, handover.deadline);
    let traced = handover.traced.and_then(|carried| Traced::resumed(carried, leased.task.id));
    let slot = Slots::new(1).take().await;
    Ok(Some(Claimed { leased, plan, lease, slot, permits: Vec::new(), traced }))
}

impl Worker {
    /// A worker of one task, under the identity of the one that claimed it.
    fn alone(mut config: Config, id: shared::task::WorkerId) -> anyhow::Result<Self> {
        config.database.pool_size = config.database.pool_size.min(CONNECTIONS);
        let database = Database::new(&config.database.clone().by_index(), "holdfast worker alone")?;
        Self::new(config, database, id, std::collections::BTreeMap::new(), None)
    }
}
