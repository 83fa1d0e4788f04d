//! The child's side: one task, executed and recorded in this process.

use std::sync::Arc;

use anyhow::Context as _;
use shared::db::{self, Database};
use shared::lifecycle::Lifecycle;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Handover;
use crate::claim::Claimed;
use crate::config::Config;
use crate::slots::Slots;
use crate::worker::Worker;
use crate::{execute, record};

/// Runs the one task that standard input names, until it is recorded, its lease is lost, or the input ends.
///
/// # Errors
/// The task could not be taken over; its worker sees that by the exit code.
pub async fn alone(config: Config) -> anyhow::Result<()> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = String::new();
    input.read_line(&mut line).await.context("reading which task to run")?;
    let handover: Handover = serde_json::from_str(&line).context("reading which task to run")?;

    let (lease, heartbeat, grace) = (config.lease, config.heartbeat, config.grace);
    let worker = Arc::new(Worker::alone(config, handover.worker)?);
    let Some(claimed) = take_over(&worker, &handover).await? else {
        // Somebody else owns it by now.
        return Ok(());
    };
    let lifecycle = Lifecycle::default();
    let recorded = CancellationToken::new();
    let (beating, stop) = (worker.clone(), recorded.clone());
    lifecycle.spawn("heartbeat", async move {
        beating.leases.extend(&beating.database, beating.identity.id, lease, heartbeat, &stop).await;
        Ok(())
    });
    let hard = lifecycle.shutdown().hard.clone();
    let (gone, ended) = (hard.clone(), recorded.clone());
    lifecycle.spawn("input", async move {
        let mut rest = Vec::new();
        tokio::select! {
            // Nothing more is ever said: the input ends with the worker, or when that wants the task back.
            _ = input.read_to_end(&mut rest) => gone.cancel(),
            () = ended.cancelled() => {}
        }
        Ok(())
    });
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
    lifecycle.wait(grace).await
}

/// The task as its worker claimed it; `None` if its lease is over.
async fn take_over(worker: &Worker, handover: &Handover) -> Result<Option<Claimed>, db::Error> {
    let client = worker.database.client().await?;
    let leased = db::lease::owned(&client, handover.worker, handover.task, handover.epoch).await?;
    let Some(leased) = leased else { return Ok(None) };
    let mut plans = worker.plans.load(&client, leased.task.job.into_iter()).await?;
    let plan = leased.task.job.and_then(|job| plans.remove(&job)).unwrap_or_default();
    let away = Arc::new(db::target::away(&client).await?);
    let lease = worker.leases.hold(leased.task.id, leased.epoch, handover.deadline);
    Ok(Some(Claimed { leased, plan, away, lease, slot: Slots::new(1).take().await }))
}

impl Worker {
    /// A worker of one task, under the identity of the one that claimed it.
    fn alone(config: Config, id: shared::task::WorkerId) -> anyhow::Result<Self> {
        let database = Database::new(&config.database, "holdfast worker alone")?;
        Self::new(config, database, id, std::collections::BTreeMap::new(), None)
    }
}
