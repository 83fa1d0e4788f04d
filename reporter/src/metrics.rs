//! What is measured: names, meanings, and the loop that looks.
//!
//! Counters count executions and batches since the database began, so far as it remembers; a restart of the
//! reporter begins them again. Gauges describe the present. One that is not set any more, because its job is gone
//! or the database does not answer, disappears after three refreshes instead of keeping its last value.

pub mod queues;

mod alerts;
mod batches;
mod executions;
mod figures;
mod gauges;
mod http;
mod jobs;
mod limits;
mod notifications;
mod pools;
mod postgres;
mod pressure;

use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use shared::db::leader::LEADER;
use shared::db::{Database, Error, backlog, worker};
use shared::scrape;
use tokio_util::sync::CancellationToken;

use tokio::sync::watch;

pub(crate) use alerts::count_transition;
pub(crate) use http::{CACHE_REDIS_UP, CACHE_REQUESTS, REPLICA_LAG, REPLICA_USED};
pub(crate) use notifications::{HEARTBEATS, NOTIFICATIONS, PIPELINE_WORKS};
pub use pressure::{OfKind, Pressure};

use crate::events;
use queues::Reach;

/// A gauge that was not set for so many refreshes describes nothing any more.
const STALE_REFRESHES: u32 = 3;

/// How metrics are collected.
#[derive(Debug, Clone)]
pub struct Collection {
    /// How often the database is looked at.
    pub refresh: Duration,
    /// How many jobs get series of their own.
    pub job_series: usize,
}

/// Makes this process measure; to be called once a process.
///
/// # Errors
/// It was called before.
pub fn install(refresh: Duration) -> anyhow::Result<PrometheusHandle> {
    Ok(scrape::install(Some(refresh * STALE_REFRESHES))?)
}

/// Looks at the database again and again until `stop`, and says to `pressure` what it sees of the pools.
pub async fn collect(
    database: &Database,
    handle: &PrometheusHandle,
    collection: &Collection,
    broker: &Reach,
    pressure: &watch::Sender<Option<Pressure>>,
    stop: &CancellationToken,
) {
    let mut seen = Seen::default();
    let mut every = tokio::time::interval(collection.refresh);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        let looked = tokio::select! {
            looked = look(database, handle, collection, broker, &mut seen) => looked,
            () = stop.cancelled() => return,
        };
        match looked {
            Ok(seen) => _ = pressure.send_replace(seen),
            Err(error) => events::collecting_failed(&error),
        }
    }
}

/// Says whether this process leads.
pub(crate) fn set_leads(leads: bool) {
    gauge!(LEADER, "duty" => "reports").set(f64::from(u8::from(leads)));
}

/// What one look hands to the next.
#[derive(Default)]
struct Seen {
    executions: executions::Tail,
    batches: batches::Batches,
    pools: pools::Pools,
    figures: figures::Figures,
    counted: postgres::Counted,
    sizes: postgres::Sizes,
    refreshes: u32,
}

/// Sizes are read at one refresh of so many.
const REFRESHES_OF_SIZES: u32 = 6;

async fn look(
    database: &Database,
    handle: &PrometheusHandle,
    collection: &Collection,
    broker: &Reach,
    seen: &mut Seen,
) -> Result<Option<Pressure>, Error> {
    let client = database.client().await?;
    seen.executions.follow(&client, handle).await?;
    // One right after the other: what is in a queue now is in a table a moment later.
    let depths = broker.depths().await;
    let backlog = backlog::by_kind(&client).await?;
    let workers = worker::present(&client).await?;
    gauges::set_backlog(&backlog);
    gauges::set_workers(&workers);
    seen.batches.count(&workers);
    let ended = seen.executions.take_ended();
    let pressure = seen.pools.look(&client, &backlog, &workers, depths.as_ref(), ended).await?;
    seen.figures.look(&client).await?;
    gauges::set(&client, collection.job_series).await?;
    jobs::set(&client, collection.job_series).await?;
    limits::set(&client).await?;
    postgres::set(&client, &mut seen.counted).await?;
    if seen.refreshes.is_multiple_of(REFRESHES_OF_SIZES) {
        seen.sizes = postgres::Sizes::read(&client).await?;
    }
    seen.sizes.set();
    seen.refreshes = seen.refreshes.wrapping_add(1);
    alerts::set(&client).await?;
    Ok(pressure)
}
