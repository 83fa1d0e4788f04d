//! The producer: takes in what people define and ask for, and hands tasks to the broker.
//!
//! Commands write rows; the long-running process ([`run`]) publishes those that are due ([`relay`]), rescues what
//! lost workers had ([`reaper`]), queues again what the broker gave up on ([`returns`]) and looks after the database
//! ([`upkeep`]). Any number of it may run at once.

pub mod commands;
pub mod config;

pub mod apply;
pub mod definitions;

mod api;
mod operations;

pub mod reaper;
pub mod relay;
pub mod returns;
pub mod scheduler;
pub mod upkeep;

mod events;
mod metrics;
mod outbox;

use shared::admin::{self, Insight};
use shared::broker::{Broker, Publisher};
use shared::db::keeping::Keeping;
use shared::db::{Database, migration, statement};
use shared::http::listener;
use shared::lifecycle::Lifecycle;
use shared::scrape::{self, Process};
use shared::trace::Exporter;

use config::Config;
use scheduler::Scheduler;

/// Runs the long-running process until a signal or a failure ends it.
///
/// # Errors
/// The failure of the task that failed first.
pub async fn run(config: Config, database: Database) -> anyhow::Result<()> {
    let served = match &config.listen {
        Some(place) => Some((listener::listen(place).await?, scrape::install(None)?)),
        None => None,
    };
    let broker = Broker::new(config.amqp_url, config.base.trust, "producer")?;
    let (publisher, owner) = Publisher::new(broker.clone(), "relay");
    let lifecycle = Lifecycle::default();
    let traces = Exporter::start(&config.traces, "producer", &std::process::id().to_string())?;
    let databases = vec![("main", database.clone())];
    let insight = Insight { program: "producer", databases, work: None };
    admin::spawn(&lifecycle, config.admin.as_deref(), insight, lifecycle.shutdown().soft.clone())?;
    let shutdown = lifecycle.shutdown().clone();

    if let Some((listener, handle)) = served {
        let process = Process::new("producer", vec![("main", database.clone())], broker.clone());
        let (measured, stop) = (handle.clone(), shutdown.soft.clone());
        lifecycle.spawn("process", async move {
            metrics::show_all();
            process.watch(&measured, scrape::EVERY, || {}, &stop).await;
            Ok(())
        });
        let (database, trusted, stop) = (database.clone(), config.trusted_proxies, shutdown.soft.clone());
        lifecycle.spawn("http", async move { api::serve(listener, database, trusted, handle, stop).await });
    }
    if !lifecycle.before(migration::reached(&database)).await? {
        return lifecycle.wait(config.grace).await;
    }

    // The owner ends after the relay's last batch, or with the hard stop.
    let relay_ended = shutdown.hard.child_token();
    lifecycle.spawn("publisher", {
        let stop = relay_ended.clone();
        async move {
            owner.run(stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("returns", {
        let (database, publisher, stop) = (database.clone(), publisher.clone(), shutdown.soft.clone());
        async move {
            returns::run(&broker, &database, &publisher, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("relay", {
        let (database, stop) = (database.clone(), shutdown.soft.clone());
        async move {
            let _ends = relay_ended.drop_guard();
            relay::run(&database, &publisher, config.republish_after, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("reaper", {
        let (database, stop) = (database.clone(), shutdown.soft.clone());
        async move {
            reaper::run(&database, config.reaper_interval, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("scheduler", {
        let (database, stop) = (database.clone(), shutdown.soft.clone());
        async move {
            Scheduler::default().run(&database, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("slow statements", {
        let (database, stop) = (database.clone(), shutdown.soft.clone());
        async move {
            statement::slow::watch(&database, &stop).await;
            Ok(())
        }
    });
    let keeping = Keeping { id_window: config.id_window, history: config.history };
    lifecycle.spawn("upkeep", async move {
        upkeep::run(&database, keeping, &shutdown.soft).await;
        Ok(())
    });
    let ended = lifecycle.wait(config.grace).await;
    traces.finish().await;
    ended
}
