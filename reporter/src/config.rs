//! The reporter's settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use shared::db::DatabaseConfig;
use shared::http::TrustedProxies;
use shared::settings::{Invalid, Settings, Sources};
use shared::telemetry::Telemetry;

use crate::api::Pace;
use crate::api::cache::{self, Keeping};
use crate::metrics::Collection;

/// Where HTTP is served: on this machine only, because metrics and health are for anybody who comes there, and nothing is encrypted.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How often the database and the broker are looked at: below the usual scrape interval of 15 s.
const REFRESH: Duration = Duration::from_secs(10);
/// How long requests that are being answered may take after the first signal.
const GRACE: Duration = Duration::from_secs(10);
/// How many jobs get series of their own; each has five of them.
const JOB_SERIES: usize = 1_000;
/// What only the long-running process uses; the commands let it stand in the same file.
const SERVICE_KEYS: [&str; 14] = [
    "amqp_url",
    "listen",
    "refresh",
    "grace",
    "job_series",
    "http.pace.person",
    "http.pace.machine",
    "http.connections",
    "http.statement_timeout",
    "http.trusted_proxies",
    "database_read_url",
    "http.replica_lag",
    "redis_url",
    "cache.memory",
];
/// Connections to the database that requests read by, on each server. A page takes some milliseconds: these are thousands a second.
const CONNECTIONS: usize = 16;
/// How long one statement of a request may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
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
}

impl Base {
    /// Reads the settings of a command that ends by itself.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(sources: &Sources) -> Result<Self, Invalid> {
        let mut settings = Settings::open(sources);
        let base = Self::from(&mut settings);
        for key in SERVICE_KEYS {
            settings.optional::<String>(key);
        }
        for kept in cache::kept() {
            settings.optional::<String>(&lasting_key(kept.name));
        }
        settings.finish()?;
        Ok(base)
    }

    fn from(settings: &mut Settings) -> Self {
        Self { database: DatabaseConfig::read(settings), telemetry: Telemetry::read(settings) }
    }
}

/// What the long-running process needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every command needs.
    pub base: Base,
    /// Where the broker is.
    pub amqp_url: SecretString,
    /// Where HTTP is served; port 0 takes any free one.
    pub listen: SocketAddr,
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
        let config = Self {
            base: Base::from(&mut settings),
            amqp_url: settings.url("amqp_url"),
            listen: settings.get("listen", LISTEN),
            refresh: settings.duration("refresh", REFRESH),
            job_series: settings.get("job_series", JOB_SERIES),
            grace: settings.duration("grace", GRACE),
            pace: pace(&mut settings),
            trusted_proxies: settings.get("http.trusted_proxies", TrustedProxies::default()),
            connections: settings.get("http.connections", CONNECTIONS),
            statement_timeout: settings.duration("http.statement_timeout", STATEMENT_TIMEOUT),
            database_read_url: settings.optional::<String>("database_read_url").map(SecretString::from),
            replica_lag: settings.duration("http.replica_lag", REPLICA_LAG),
            redis_url: settings.optional::<String>("redis_url").map(SecretString::from),
            keeping: keeping(&mut settings),
        };
        if !(1..=1_000).contains(&config.connections) {
            settings.reject("http.connections: use 1 to 1000".to_owned());
        }
        if config.statement_timeout < Duration::from_millis(1) {
            settings.reject("http.statement_timeout: is shorter than 1ms".to_owned());
        }
        if config.refresh < Duration::from_millis(100) {
            settings.reject("refresh: is shorter than 100ms".to_owned());
        }
        settings.finish()?;
        Ok(config)
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

fn pace(settings: &mut Settings) -> Pace {
    let Pace { person, machine } = Pace::default();
    Pace {
        person: settings.get("http.pace.person", person),
        machine: settings.get("http.pace.machine", machine),
    }
}

fn keeping(settings: &mut Settings) -> Keeping {
    let mut keeping = Keeping::default();
    keeping.memory = settings.get("cache.memory", ByteSize::b(keeping.memory)).as_u64();
    for (name, lasting) in &mut keeping.lasting {
        *lasting = settings.duration(&lasting_key(name), *lasting);
    }
    keeping
}

fn lasting_key(name: &str) -> String {
    format!("cache.ttl.{name}")
}
