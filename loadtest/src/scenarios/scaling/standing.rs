//! What workers cost the database and the broker while they have nothing to do, and what a task costs: measured.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::measure::{ProcessorTime, Usage};
use crate::system::{Books, Fleet, Layout, Load, Servers, publish};

/// Until connections that were needed for the start alone are idle, and everybody has seen everybody.
const SETTLE: Duration = Duration::from_secs(10);
/// How long one measures.
const MEASURE: Duration = Duration::from_secs(30);

/// Idle workers.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Standing {
    /// How many.
    pub(super) workers: usize,
    /// Processors that the database needs for them.
    pub(super) database: f64,
    /// Processors that the broker needs for them.
    pub(super) broker: f64,
    /// Their connections to the database.
    pub(super) database_connections: i64,
    /// Their connections to the broker.
    pub(super) broker_connections: usize,
    /// Resident memory of one of them, in MiB.
    pub(super) worker_mib: f64,
}

/// Measures some idle workers with all their pools; rates are limited, so that they look at each other.
pub(super) async fn measure(servers: &Servers, workers: usize) -> anyhow::Result<Standing> {
    let database_url = servers.create_database("standing").await?;
    let layout = Layout {
        database_url: Some(database_url),
        definitions: Some(definitions(servers)),
        workers,
        ..Layout::default()
    };
    let fleet = Fleet::start(servers, layout).await?;
    tokio::time::sleep(SETTLE).await;
    let before = ProcessorTime::now()?;
    tokio::time::sleep(MEASURE).await;
    let after = ProcessorTime::now()?;
    let processors = |program| after.since(&before, program) / MEASURE.as_secs_f64();
    // Our own look at the database is one of them.
    let statement = "select count(*) - 1 from pg_stat_activity where datname = current_database()
         and backend_type = 'client backend'";
    let database_connections = fleet.database.client().await?.query_one(statement, &[]).await?.try_get(0)?;
    let pids: Vec<u32> = fleet.workers.iter().map(devstack::Service::pid).collect();
    let worker_mib =
        pids.first().map_or(Ok(0.0), |pid| anyhow::Ok(Usage::of(*pid)?.resident as f64 / 1024.0 / 1024.0))?;
    let broker_connections = connections_to(port(servers.amqp_url())?)?;
    let standing = Standing {
        workers,
        database: processors("postgres"),
        broker: processors("beam.smp"),
        database_connections,
        broker_connections,
        worker_mib,
    };
    fleet.stop().await?;
    Ok(standing)
}

/// Processor time of the database and of the broker for one task, in seconds, through the whole pipeline at full rate.
pub(super) async fn per_task(servers: &Servers, tasks: usize) -> anyhow::Result<(f64, f64)> {
    let settings = BTreeMap::from([("pools.probe.slots".to_owned(), "2000".to_owned())]);
    let layout = Layout { settings, producer: true, ..Layout::default() };
    let load = Load::probes(layout.jobs);
    let fleet = Fleet::start(servers, layout).await?;
    let mut books = Books::open(&fleet.database, servers.amqp_url(), load.kind).await?;
    let (mut database, mut broker) = (0.0, 0.0);
    for tasks in [tasks / 5, tasks] {
        books.ask(tasks)?;
        let before = ProcessorTime::now()?;
        publish(servers.amqp_url(), &load, tasks).await?;
        books.until_recorded(&fleet.database).await?;
        let after = ProcessorTime::now()?;
        let of = |program| after.since(&before, program) / tasks as f64;
        (database, broker) = (of("postgres"), of("beam.smp"));
    }
    books.check(&fleet.database).await?;
    fleet.stop().await?;
    Ok((database, broker))
}

fn definitions(servers: &Servers) -> Value {
    json!({
        "targets": [{
            "name": "load", "repository": servers.directory().join("repository"), "site": "hq", "media": "nas",
            "failure_domain": "array-1", "password": { "env": "UNUSED" },
        }],
        "jobs": [{
            "name": "load-0", "owner": "load", "targets": ["load"],
            "source": { "kind": "simulated", "failure_domain": "host-1", "site": "hq", "media": "disk" },
        }],
        "limits": [{ "pool": "probe", "starts_per_minute": 60_000, "burst": 1000 }],
    })
}

fn port(url: &str) -> anyhow::Result<u16> {
    let (_, rest) = url.rsplit_once(':').context("the broker's URL has no port")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().context("the broker's URL has no port")
}

/// Established connections from this machine to a port, as the kernel lists them.
fn connections_to(port: u16) -> anyhow::Result<usize> {
    const ESTABLISHED: &str = "01";
    let remote = format!(":{port:04X}");
    let list = std::fs::read_to_string("/proc/net/tcp").context("reading /proc/net/tcp")?;
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let (to, state) = (fields.next(), fields.next());
        to.is_some_and(|to| to.ends_with(&remote)) && state == Some(ESTABLISHED)
    };
    Ok(list.lines().filter(is_one).count())
}

/// What the fleet's size costs a server, by measured sizes.
///
/// Each worker looks once a second, and less often in proportion where there are more than 200 (see the worker's limits);
/// a look costs something for itself and something for each worker that it sees.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cost {
    /// Processor seconds for each look.
    pub(super) look: f64,
    /// And for each worker that it sees.
    pub(super) seen: f64,
}

impl Cost {
    /// From measured sizes, by least squares.
    pub(super) fn of(standing: &[Standing], processors: fn(&Standing) -> f64) -> Self {
        // `database / looks = look + seen × workers`: a line through the sizes.
        let points: Vec<(f64, f64)> = standing
            .iter()
            .map(|of| (of.workers as f64, processors(of) / looks(of.workers as f64)))
            .collect();
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
        let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
            let dx = point.0 - x;
            (above + dx * (point.1 - y), below + dx * dx)
        });
        // Noise must not make a large fleet gain something.
        let seen = if below > 0.0 { (above / below).max(0.0) } else { 0.0 };
        Self { look: (y - seen * x).max(0.0), seen }
    }

    /// Processors that it needs for so many idle workers.
    pub(super) fn processors(self, workers: usize) -> f64 {
        let workers = workers as f64;
        looks(workers) * (self.look + self.seen * workers)
    }
}

/// Looks in a second of so many workers together.
fn looks(workers: f64) -> f64 {
    workers / (workers / 200.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(workers: usize, database: f64) -> Standing {
        Standing {
            workers,
            database,
            broker: 0.0,
            database_connections: 0,
            broker_connections: 0,
            worker_mib: 0.0,
        }
    }

    #[test]
    fn the_cost_of_a_fleet_is_found_again_from_what_two_sizes_need() {
        let truth = Cost { look: 0.001, seen: 0.000_01 };
        let found =
            Cost::of(&[standing(10, truth.processors(10)), standing(50, truth.processors(50))], |of| {
                of.database
            });
        assert!(
            (found.look - truth.look).abs() < 1e-9 && (found.seen - truth.seen).abs() < 1e-9,
            "{found:?}"
        );
        // From 200 on it grows with their number and not with its square.
        assert!((found.processors(1000) - 200.0 * (0.001 + 0.01)).abs() < 1e-9, "{}", found.processors(1000));
    }

    #[test]
    fn the_port_of_a_brokers_url_is_found() {
        assert_eq!(port("amqp://user:a:b@127.0.0.1:5673/%2f").unwrap(), 5673);
        assert_eq!(port("amqp://127.0.0.1:5673").unwrap(), 5673);
        assert!(port("amqp").is_err());
    }
}
