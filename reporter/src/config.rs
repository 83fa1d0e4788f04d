//! The reporter's settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::SecretString;
use shared::db::DatabaseConfig;
use shared::settings::{Invalid, Settings, Sources};
use shared::telemetry::Telemetry;

use crate::metrics::Collection;

/// Where metrics and health are served: on this machine only, because there is no access control.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How often the database and the broker are looked at: below the usual scrape interval of 15 s.
const REFRESH: Duration = Duration::from_secs(10);
/// How long requests that are being answered may take after the first signal.
const GRACE: Duration = Duration::from_secs(10);
/// How many jobs get series of their own; each has five of them.
const JOB_SERIES: usize = 1_000;
/// What only the long-running process uses; the commands let it stand in the same file.
const SERVICE_KEYS: [&str; 5] = ["amqp_url", "listen", "refresh", "grace", "job_series"];

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
        };
        if config.refresh < Duration::from_millis(100) {
            settings.reject("refresh: is shorter than 100ms".to_owned());
        }
        settings.finish()?;
        Ok(config)
    }

    /// How metrics are collected.
    #[must_use]
    pub fn collection(&self) -> Collection {
        Collection { refresh: self.refresh, job_series: self.job_series }
    }
}
