//! The worker: takes tasks from the queues, runs them, and records what came out.
//!
//! [`pipeline`] is the table of contents: receive -> admit -> claim -> execute -> record.

pub mod config;

pub mod pipeline;

mod consumers;
mod queues;
pub mod receive;
pub mod ticket;
mod window;

pub mod admit;
pub mod batches;
pub mod call;
pub mod claim;
pub mod execute;
pub mod record;
pub mod refuse;
pub mod slots;

pub mod effects;
pub mod follow_up;
pub mod identity;
pub mod lease;
pub mod limits;
mod metrics;
pub mod outcome;
pub mod plan;
pub mod quarantine;
pub mod retention;
pub mod speed;
pub mod stages;
pub mod traced;
pub mod worker;

pub mod commands;
pub mod engine;
pub mod events;
pub mod http;

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::admin::{self, Insight};
use shared::broker::{Broker, Publisher};
use shared::db::{Database, DatabaseConfig, migration, statement};
use shared::http::listener;
use shared::lifecycle::Lifecycle;
use shared::scrape::{self, Process};
use shared::task::{TaskKind, WorkerId};
use shared::trace::Exporter;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::pipeline::Pool;
use crate::quarantine::Quarantine;
use crate::slots::Slots;
use crate::worker::Worker;

/// Runs the pools until the process is told to stop.
///
/// # Errors
/// The failure of the first task of the process that failed.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::default();
    let served = match &config.listen {
        Some(place) => Some((listener::listen(place).await?, scrape::install(None)?)),
        None => None,
    };
    let traces = Exporter::start(&config.traces, "worker", &config.name)?;
    let by_index = config.database.clone().by_index();
    let database = Database::new(&by_index, "holdfast worker")?;
    // Executors that use up the pool must not keep the leases from being extended.
    let few = DatabaseConfig { pool_size: config.database.pool_size.min(3), ..by_index };
    let own_connection = Database::new(&few, "holdfast heartbeat")?;
    let broker =
        Broker::new(config.amqp_url.clone(), config.trust.clone(), &format!("worker {}", config.name))?;
    let slots: BTreeMap<TaskKind, Slots> =
        config.pools.iter().map(|(kind, pool)| (*kind, Slots::new(pool.slots))).collect();
    let pools: Vec<Pool> = slots.iter().map(|(&kind, slots)| Pool { kind, slots: slots.clone() }).collect();
    let (lease, heartbeat, grace) = (config.lease, config.heartbeat, config.grace);
    let admin = config.admin.clone();
    let quarantine = Quarantine::new(std::env::current_exe()?, &config.sources);
    let worker = Arc::new(Worker::new(config, database, WorkerId::generate(), slots, Some(quarantine))?);

    let looked_at = worker.clone();
    let insight = Insight {
        program: "worker",
        databases: vec![("main", worker.database.clone()), ("heartbeat", own_connection.clone())],
        work: Some(Arc::new(move || looked_at.work())),
    };
    // Heartbeats, dead letters, metrics and who looks into the process go on until the pipeline has settled what it holds.
    let settled = CancellationToken::new();
    admin::spawn(&lifecycle, admin.as_deref(), insight, settled.clone())?;
    let (watched, stop) = (worker.database.clone(), lifecycle.shutdown().soft.clone());
    lifecycle.spawn("slow statements", async move {
        statement::slow::watch(&watched, &stop).await;
        Ok(())
    });
    if let Some((listener, handle)) = served {
        let databases = vec![("main", worker.database.clone()), ("heartbeat", own_connection.clone())];
        let process = Process::new("worker", databases, broker.clone());
        let (watched, measured) = (worker.clone(), handle.clone());
        let stop = settled.clone();
        lifecycle.spawn("process", async move {
            metrics::show_all(&watched.identity);
            let set = || metrics::set(&watched.identity, &watched.leases);
            process.watch(&measured, scrape::EVERY, set, &stop).await;
            Ok(())
        });
        let (served, broker, stop) = (worker.clone(), broker.clone(), settled.clone());
        lifecycle.spawn("http", async move { http::serve(listener, handle, served, broker, stop).await });
    }
    if !lifecycle.before(migration::reached(&worker.database)).await? {
        settled.cancel();
        return lifecycle.wait(grace).await;
    }
    let (publisher, publishing) = Publisher::new(broker.clone(), "publish");
    let stop = settled.clone();
    lifecycle.spawn("publisher", async move {
        publishing.run(stop).await;
        Ok(())
    });
    let (controlled, stop) = (worker.clone(), settled.clone());
    lifecycle.spawn("limits", async move {
        let Worker { limits, database, identity, .. } = &*controlled;
        limits.run(database, identity, lease, &stop).await;
        Ok(())
    });
    let (beating, stop) = (worker.clone(), settled.clone());
    lifecycle.spawn("heartbeat", async move {
        let Worker { leases, database, identity, .. } = &*beating;
        leases.run(&own_connection, database, identity, lease, heartbeat, &stop).await
    });
    let shutdown = lifecycle.shutdown().clone();
    lifecycle.spawn("pipeline", async move {
        let _settled = settled.drop_guard();
        pipeline::run(worker, pools, broker, publisher, shutdown).await
    });
    let ended = lifecycle.wait(grace).await;
    traces.finish().await;
    ended
}
