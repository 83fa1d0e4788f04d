//! The reporter: answers what was backed up, and whether it can be trusted.
//!
//! Commands read the database and print ([`commands`]). The long-running process ([`run`]) judges jobs when their
//! evidence expires ([`expiry`]), delivers what people are to be told ([`notify`]), observes the database and the broker ([`metrics`])
//! and answers over HTTP ([`http`], [`api`]). Any number of it may run at once; each shows the same numbers, and one of them
//! ([`leadership`]) rolls up what was done ([`rollup`]), looks for what is wrong ([`alerts`]) and decides who is told.

pub mod advice;
pub mod commands;
pub mod config;

pub mod alerts;
pub mod api;
pub mod expiry;
pub mod figures;
pub mod http;
pub mod leadership;
pub mod metrics;
pub mod notify;
pub mod rollup;
pub mod signal;
pub mod summary;

mod events;
mod untold;

use std::time::Duration;

use shared::admin::{self, Insight};
use shared::broker::Broker;
use shared::db::{Database, DatabaseConfig, migration, statement};
use shared::http::listener;
use shared::lifecycle::Lifecycle;
use shared::scrape::{self, Process};
use shared::tls::Trust;
use shared::trace::Exporter;
use tokio::sync::watch;

use api::Api;
use api::cache::{Cache, Redis};
use api::source::Source;
use config::Config;
use http::Observed;
use leadership::{Lead, Leadership};
use metrics::Pressure;
use metrics::queues::{self, Reach};
use notify::Look;

/// Runs the long-running process until a signal or a failure ends it.
///
/// # Errors
/// An address that cannot be listened on, or the failure of the task that failed first.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let database = Database::new(&config.base.database, "reporter")?;
    let collection = config.collection();
    let (api, reads) = api(&config)?;
    let broker = Broker::new(config.amqp_url, config.base.trust.clone(), "reporter")?;
    let databases = [vec![("main", database.clone())], reads].concat();
    let process = Process::new("reporter", databases.clone(), broker.clone());
    let recorder = metrics::install(config.refresh)?;
    let listener = listener::listen(&config.listen).await?;
    let (session, reach) = queues::session(&broker);
    let (lifecycle, leadership) = (Lifecycle::default(), Leadership::default());
    let traces = Exporter::start(&config.traces, "reporter", &std::process::id().to_string())?;
    let insight = Insight { program: "reporter", databases, work: None };
    admin::spawn(&lifecycle, config.admin.as_deref(), insight, lifecycle.shutdown().soft.clone())?;
    let stop = &lifecycle.shutdown().soft;

    lifecycle.spawn("http", {
        let observed =
            Observed { database: database.clone(), broker: reach.clone(), metrics: recorder.clone() };
        let (api, stop) = (api.clone(), stop.clone());
        async move { http::serve(listener, observed, api, stop).await }
    });
    lifecycle.spawn("process", {
        let (handle, lead, stop) = (recorder.clone(), leadership.lead(), stop.clone());
        async move {
            // Before what is not set any more disappears.
            let every = scrape::EVERY.min(config.refresh);
            process.watch(&handle, every, || metrics::set_leads(lead.is_had_now()), &stop).await;
            Ok(())
        }
    });
    if !lifecycle.before(migration::reached(&database)).await? {
        return lifecycle.wait(config.grace).await;
    }
    spawn_reading(&lifecycle, api);
    lifecycle.spawn("queues", {
        let stop = stop.clone();
        async move {
            queues::observe(&broker, &session, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("slow statements", {
        let (database, stop) = (database.clone(), stop.clone());
        async move {
            statement::slow::watch(&database, &stop).await;
            Ok(())
        }
    });
    let (pressure, seen) = watch::channel(None);
    lifecycle.spawn("collector", {
        let (database, reach, stop) = (database.clone(), reach.clone(), stop.clone());
        let collection = collection.clone();
        async move {
            metrics::collect(&database, &recorder, &collection, &reach, &pressure, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("expiry", {
        let (database, stop) = (database.clone(), stop.clone());
        async move {
            expiry::run(&database, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("delivery", {
        let (database, trust, stop) = (database.clone(), config.base.trust.clone(), stop.clone());
        async move {
            notify::deliver(&database, &trust, &stop).await;
            Ok(())
        }
    });
    let beside = Beside { broker: reach, trust: config.base.trust };
    spawn_duties(&lifecycle, &leadership.lead(), &database, beside, seen, config.refresh);
    lifecycle.spawn("leadership", {
        let own = DatabaseConfig { pool_size: 2, ..config.base.database };
        let (own, stop) = (Database::new(&own, "reporter")?, stop.clone());
        async move {
            leadership.run(&own, &stop).await;
            Ok(())
        }
    });
    let ended = lifecycle.wait(config.grace).await;
    traces.finish().await;
    ended
}

/// What is read over HTTP has connections of its own, so that it keeps nothing else waiting; these are returned as well.
fn api(config: &Config) -> anyhow::Result<(Api, Vec<(&'static str, Database)>)> {
    let reading = config.reading();
    let primary = Database::new(&reading, "reporter reads")?;
    let replica = match &config.database_read_url {
        Some(url) => {
            let there = DatabaseConfig { url: url.clone(), ..reading };
            Some((Database::new(&there, "reporter reads")?, config.replica_lag))
        }
        None => None,
    };
    let reads = [Some(("reads", primary.clone())), replica.clone().map(|(replica, _)| ("replica", replica))];
    let redis = config.redis_url.as_ref().map(|url| Redis::new(url, &config.base.trust)).transpose()?;
    let cache = Cache::new(config.keeping.clone(), redis);
    let trusted = config.trusted_proxies.clone();
    let api = Api::new(Source::new(primary, replica), cache, config.pace, trusted, config.connections);
    Ok((api, reads.into_iter().flatten().collect()))
}

/// What goes on beside the requests that read.
fn spawn_reading(lifecycle: &Lifecycle, api: Api) {
    let stop = lifecycle.shutdown().soft.clone();
    lifecycle.spawn("cache", {
        let (api, stop) = (api.clone(), stop.clone());
        async move {
            tokio::select! {
                () = api.warm() => {}
                () = stop.cancelled() => {}
            }
            Ok(())
        }
    });
    lifecycle.spawn("replica", async move {
        api.source().follow(&stop).await;
        Ok(())
    });
}

/// Who is spoken to beside the database.
struct Beside {
    broker: Reach,
    trust: Trust,
}

/// What the leader does.
fn spawn_duties(
    lifecycle: &Lifecycle,
    lead: &Lead,
    database: &Database,
    beside: Beside,
    pressure: watch::Receiver<Option<Pressure>>,
    refresh: Duration,
) {
    let given = || (lead.clone(), database.clone(), lifecycle.shutdown().soft.clone());
    lifecycle.spawn("rollup", {
        let (lead, database, stop) = given();
        async move {
            rollup::run(lead, &database, refresh, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("alerts", {
        let (lead, database, stop) = given();
        async move {
            alerts::run(lead, &database, refresh, pressure, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("router", {
        let (lead, database, stop) = given();
        async move {
            notify::route(lead, &database, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("heartbeat", {
        let (lead, database, stop) = given();
        let (broker, trust) = (beside.broker, beside.trust.clone());
        async move {
            let look = Look { broker: &broker, trust: &trust, every: refresh };
            notify::beat(lead, &database, look, &stop).await;
            Ok(())
        }
    });
    lifecycle.spawn("refresh", {
        let (lead, database, stop) = given();
        async move {
            notify::refresh(lead, &database, &beside.trust, &stop).await;
            Ok(())
        }
    });
}
