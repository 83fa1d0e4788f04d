//! The reporter's settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use shared::admin;
use shared::broker;
use shared::db::{DatabaseConfig, check_url};
use shared::http::TrustedProxies;
use shared::http::place::Place;
use shared::settings::{Invalid, Settings, Sources, key};
use shared::telemetry::Telemetry;
use shared::tls::{Files, Trust};
use shared::trace::TraceConfig;

use crate::api::Pace;
use crate::api::cache::{Keeping, Redis};
use crate::metrics::Collection;

/// Where HTTP is served: on this machine only, because metrics and health are for anybody who comes there, and nothing is encrypted.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How often the database and the broker are looked at: below the usual scrape interval of 15 s.
const REFRESH: Duration = Duration::from_secs(10);
/// How long requests that are being answered may take after the first signal.
const GRACE: Duration = Duration::from_secs(10);
/// How many jobs get series of their own; each has five of them.
const JOB_SERIES: usize = 1_000;
/// Connections to the database that requests read by, on each server. A page takes some milliseconds: these are thousands a second.
const CONNECTIONS: usize = 16;
/// How long one statement of a request may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// PostgreSQL counts its limit in milliseconds, in 31 bits.
const MOST_STATEMENT_TIMEOUT: Duration = Duration::from_hours(24 * 24);
/// How long a request waits for one of these connections.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// How far a replica that is read may be behind.
const REPLICA_LAG: Duration = Duration::from_secs(10);

/// What every command needs.
#[derive(Debug, Clone)]
pub struct Base {
    /// Where the database is.
    pub database: DatabaseConfig,
    /// What is logged.
    pub telemetry: Telemetry,
    /// Who may vouch for servers.
    pub trust: Trust,
}

impl Base {
    /// Reads the settings of a command that ends by itself.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(sources: &Sources) -> Result<Self, Invalid> {
        let mut settings = Settings::open(sources);
        let mut base = Self::of(&mut settings);
        base.telemetry.tell_first(settings.finish()?);
        Ok(base)
    }

    fn of(settings: &mut Settings) -> Self {
        let trust = Trust::read(settings);
        Self { database: DatabaseConfig::read(settings, &trust), telemetry: Telemetry::read(settings), trust }
    }
}

/// What the long-running process needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every command needs.
    pub base: Base,
    /// Where the broker is.
    pub amqp_url: SecretString,
    /// Where HTTP is served.
    pub listen: Place,
    /// Where it is looked into; nowhere when absent.
    pub admin: Option<PathBuf>,
    /// Where spans go, and which.
    pub traces: TraceConfig,
    /// How often the database and the broker are looked at.
    pub refresh: Duration,
    /// How many jobs get series of their own; 0 switches these off.
    pub job_series: usize,
    /// How long requests that are being answered may take after the first signal.
    pub grace: Duration,
    /// How many requests a minute tokens may make.
    pub pace: Pace,
    /// Which gateways may say whom a request is from.
    pub trusted_proxies: TrustedProxies,
    /// How many connections to a database requests read by, from 1.
    pub connections: usize,
    /// How long one statement of a request may take.
    pub statement_timeout: Duration,
    /// Where a server is that follows the database's, for reading.
    pub database_read_url: Option<SecretString>,
    /// How far that one may be behind to be read.
    pub replica_lag: Duration,
    /// Where Redis is, for answers that several reporters share.
    pub redis_url: Option<SecretString>,
    /// Which answers are kept.
    pub keeping: Keeping,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(sources: &Sources) -> Result<Self, Invalid> {
        let mut settings = Settings::open(sources);
        let mut config = Self::from(&mut settings);
        config.base.telemetry.tell_first(settings.finish()?);
        Ok(config)
    }

    /// Reads the settings; what is wrong stays with them.
    pub fn from(settings: &mut Settings) -> Self {
        let refresh = key("refresh", "How often the database and the broker are looked at");
        let series = key(
            "job_series",
            "How many jobs get series of their own among the metrics; 0 switches these off",
        );
        let grace = key("grace", "How long what is under way may take after the first signal");
        let connections =
            key("http.connections", "Connections to each database server that requests read by");
        let statement = key("http.statement_timeout", "How long one statement of a request may take");
        let lag =
            key("http.replica_lag", "How far the server of `database_read_url` may be behind to be read");
        let base = Base::of(settings);
        let config = Self {
            amqp_url: settings.secret(broker::url_key()),
            listen: listen(settings),
            admin: admin::socket(settings),
            traces: TraceConfig::read(settings, &base.trust),
            refresh: settings.within(refresh, REFRESH, Duration::from_millis(100)..),
            job_series: settings.get(series, JOB_SERIES),
            grace: settings.duration(grace, GRACE),
            pace: pace(settings),
            trusted_proxies: TrustedProxies::read(settings),
            connections: settings.within(connections, CONNECTIONS, 1..=1_000),
            statement_timeout: settings.within(
                statement,
                STATEMENT_TIMEOUT,
                Duration::from_millis(1)..=MOST_STATEMENT_TIMEOUT,
            ),
            database_read_url: replica(settings, &base.trust),
            replica_lag: settings.duration(lag, REPLICA_LAG),
            redis_url: redis(settings),
            keeping: keeping(settings),
            base,
        };
        broker::check_url(settings, &config.amqp_url);
        config
    }

    /// How requests read.
    #[must_use]
    pub fn reading(&self) -> DatabaseConfig {
        let database = self.base.database.clone().for_reading(self.statement_timeout);
        // A sign of life before each use would be another way there and back for each request.
        DatabaseConfig {
            pool_size: self.connections,
            pool_wait: POOL_WAIT,
            verify_connections: false,
            ..database
        }
    }

    /// How metrics are collected.
    #[must_use]
    pub fn collection(&self) -> Collection {
        Collection { refresh: self.refresh, job_series: self.job_series }
    }
}

fn listen(settings: &mut Settings) -> Place {
    let listen =
        key("listen", "Where reads over HTTP, health and metrics are served; port 0 takes any free one");
    let address = settings.get(listen, LISTEN);
    let tls = Files::read(settings);
    Place::new(address, tls, settings)
}

fn replica(settings: &mut Settings, trust: &Trust) -> Option<SecretString> {
    let url =
        key("database_read_url", "Where a server is that follows the database's, for reading over HTTP");
    let url = settings.optional_secret(url.such_as("postgres://USER:PASSWORD@REPLICA:5432/holdfast"))?;
    check_url(settings, "DATABASE_READ_URL", &url, trust);
    Some(url)
}

fn redis(settings: &mut Settings) -> Option<SecretString> {
    let url = key(
        "redis_url",
        "Where Redis is, for answers that several reporters share: `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://..` with TLS",
    );
    let url = settings.optional_secret(url.such_as("redis://HOST:6379/0"))?;
    if let Err(error) = Redis::check(&url) {
        settings.reject(error.to_string());
    }
    Some(url)
}

fn pace(settings: &mut Settings) -> Pace {
    let Pace { person, machine } = Pace::default();
    let of_person =
        key("http.pace.person", "How many requests a minute a person's token may make, of each reporter");
    let of_machine =
        key("http.pace.machine", "How many requests a minute a machine's token may make, of each reporter");
    Pace { person: settings.get(of_person, person), machine: settings.get(of_machine, machine) }
}

fn keeping(settings: &mut Settings) -> Keeping {
    let mut keeping = Keeping::default();
    let memory = key("cache.memory", "How much of answers is kept in memory");
    keeping.memory = settings.get(memory, ByteSize::b(keeping.memory)).as_u64();
    for (name, lasting) in &mut keeping.lasting {
        let about = format!("For how long answers of {name} are kept; 0s keeps none");
        *lasting = settings.duration(key(format!("cache.ttl.{name}"), about), *lasting);
    }
    keeping
}
