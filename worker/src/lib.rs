//! The worker: takes tasks from the queues, runs them, and records what came out.
//!
//! [`pipeline`] is the table of contents: receive -> admit -> claim -> execute -> record.

pub mod config;

pub mod pipeline;

mod queues;
pub mod receive;
pub mod ticket;

pub mod admit;
pub mod claim;
pub mod execute;
pub mod record;
pub mod refuse;
pub mod slots;

pub mod follow_up;
pub mod lease;
pub mod outcome;
pub mod plan;
pub mod worker;

pub mod commands;
pub mod engine;
pub mod events;

use std::sync::Arc;

use anyhow::Context as _;
use shared::broker::{Broker, Publisher};
use shared::db::Database;
use shared::lifecycle::Lifecycle;
use shared::task::{TaskKind, WorkerId};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::parent::Engine;
use crate::lease::{Batches, Identity, Leases};
use crate::pipeline::Pool;
use crate::slots::Slots;
use crate::worker::Worker;

/// Runs the pools until the process is told to stop.
///
/// # Errors
/// The failure of the first task of the process that failed.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let database = Database::new(&config.database, "holdfast worker")?;
    let broker = Broker::new(config.amqp_url, &format!("worker {}", config.name))?;
    let pool =
        |(&kind, &config): (_, &config::PoolConfig)| Pool { kind, config, slots: Slots::new(config.slots) };
    let mut pools: Vec<Pool> = config.pools.iter().map(pool).collect();
    let identity = Identity {
        id: WorkerId::generate(),
        name: config.name,
        pools: pools.iter().map(|pool| (pool.kind, (pool.slots.free(), pool.slots.total()))).collect(),
        batches: Batches::default(),
    };
    // What nobody executes yet is taken as well, and goes to the dead letters with that reason.
    let unimplemented = TaskKind::ALL.iter().filter(|kind| !kind.is_implemented());
    pools.extend(unimplemented.map(|&kind| Pool {
        kind,
        config: config::PoolConfig { slots: 1, rate: None },
        slots: Slots::new(1),
    }));
    let program = std::env::current_exe().context("finding this program, which is its own engine")?;
    let worker = Arc::new(Worker {
        database,
        identity,
        leases: Arc::new(Leases::default()),
        plans: plan::Plans::default(),
        engine: Engine::new(program),
        lease: config.lease,
        scratch: config.scratch,
        restore_root: config.restore_root,
    });

    let lifecycle = Lifecycle::default();
    // Heartbeats and dead letters go on until the pipeline has settled what it holds.
    let settled = CancellationToken::new();
    let (publisher, publishing) = Publisher::new(broker.clone(), "publish");
    let stop = settled.clone();
    lifecycle.spawn("publisher", async move {
        publishing.run(stop).await;
        Ok(())
    });
    let (beating, stop) = (worker.clone(), settled.clone());
    // Executors that use up the pool must not keep the leases from being extended.
    let own_connection = Database::new(&config.database, "holdfast heartbeat")?;
    lifecycle.spawn("heartbeat", async move {
        beating.leases.run(&own_connection, &beating.identity, config.lease, config.heartbeat, &stop).await
    });
    let shutdown = lifecycle.shutdown().clone();
    lifecycle.spawn("pipeline", async move {
        let _settled = settled.drop_guard();
        pipeline::run(worker, pools, broker, publisher, shutdown).await
    });
    lifecycle.wait(config.grace).await
}
