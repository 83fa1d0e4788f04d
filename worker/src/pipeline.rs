//! The stages of each pool, in order: receive -> admit -> claim -> execute, and one record stage for all of them.

use std::sync::Arc;

use shared::broker::{Broker, Publisher};
use shared::lifecycle::Shutdown;
use shared::task::TaskKind;
use tokio::sync::mpsc;

use crate::admit;
use crate::batches;
use crate::outcome::Finished;
use crate::receive::Intake;
use crate::slots::Slots;
use crate::worker::Worker;
use crate::{call, claim, execute, record, refuse};

/// A pool as the pipeline runs it.
pub struct Pool {
    /// What it executes.
    pub kind: TaskKind,
    /// Its slots.
    pub slots: Slots,
}

/// Runs all pools until a soft stop, and then until what they hold is settled.
///
/// A stage ends when the one before it has ended and its channel is empty, so that the last flush needs no signal.
pub async fn run(
    worker: Arc<Worker>,
    pools: Vec<Pool>,
    broker: Broker,
    publisher: Publisher,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    // Executors that cannot hand over their results keep their slots: nothing more starts.
    let (finished, to_record) = mpsc::channel(batches::MOST);
    let mut stages = tokio::task::JoinSet::new();
    for pool in pools {
        let running = Running {
            worker: worker.clone(),
            broker: broker.clone(),
            publisher: publisher.clone(),
            finished: finished.clone(),
            shutdown: shutdown.clone(),
        };
        stages.spawn(running.run(pool));
    }
    drop(finished);
    stages.spawn(async move { record::run(to_record, &worker).await });
    let mut outcome = Ok(());
    while let Some(stage) = stages.join_next().await {
        if let Err(failure) = stage.map_err(anyhow::Error::new).and_then(|ended| ended) {
            // The others stop and give back what they hold; the first failure is what the process ends with.
            shutdown.soft.cancel();
            shutdown.hard.cancel();
            outcome = outcome.and(Err(failure));
        }
    }
    outcome
}

struct Running {
    worker: Arc<Worker>,
    broker: Broker,
    publisher: Publisher,
    finished: mpsc::Sender<Finished>,
    shutdown: Shutdown,
}

impl Running {
    async fn run(self, pool: Pool) -> anyhow::Result<()> {
        let Self { worker, broker, publisher, finished, shutdown } = self;
        let Pool { kind, slots } = pool;
        // A full channel stops the stage before it, down to the consumer: the broker keeps the rest.
        let capacity = slots.total() * 2;
        let (tasks, to_admit) = mpsc::channel(capacity);
        let (entries, to_claim) = mpsc::channel(capacity);
        let (claimed, to_execute) = mpsc::channel(capacity);
        let (refusals, to_refuse) = mpsc::channel(capacity);
        worker.stages.watch(kind, "admit", &tasks);
        worker.stages.watch(kind, "claim", &entries);
        worker.stages.watch(kind, "execute", &claimed);
        let intake =
            Intake { kind, slots: slots.clone(), tasks, refusals: refusals.clone(), worker: worker.clone() };

        let ((), (), (), claims, (), ()) = tokio::join!(
            intake.run(&broker, &shutdown.soft),
            admit::run(kind, to_admit, entries.clone(), slots.clone(), worker.clone(), &shutdown.soft),
            call::run(kind, slots, entries, worker.clone(), &shutdown.soft),
            claim::run(kind, to_claim, claimed, refusals, &worker, &shutdown.hard),
            execute::run(to_execute, finished, &worker, &shutdown.hard),
            refuse::run(to_refuse, &publisher, &shutdown.hard),
        );
        claims
    }
}
