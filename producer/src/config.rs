//! The producer's settings.

use std::time::Duration;

use secrecy::SecretString;
use shared::db::DatabaseConfig;
use shared::settings::{Invalid, Settings, Sources};
use shared::telemetry::Telemetry;

/// How long the last batch may take after the first signal.
const GRACE: Duration = Duration::from_secs(10);
/// How often expired leases are looked for: what a rescue waits beside the lease itself.
const REAPER_INTERVAL: Duration = Duration::from_secs(5);
/// How long a confirmed message may lie unclaimed before it is published again: the broker may have been wiped.
const REPUBLISH_AFTER: Duration = Duration::from_mins(10);
/// How long an id is remembered.
const ID_WINDOW: Duration = Duration::from_hours(7 * 24);
/// What only the long-running process uses; the commands let it stand in the same file.
const SERVICE_KEYS: [&str; 4] = ["grace", "reaper_interval", "republish_after", "id_window"];

/// What every command needs.
#[derive(Debug, Clone)]
pub struct Base {
    /// Where the database is.
    pub database: DatabaseConfig,
    /// What is logged.
    pub telemetry: Telemetry,
    /// Where the broker is, for the commands that look into its queues.
    pub amqp_url: Option<SecretString>,
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
        Self {
            database: DatabaseConfig::read(settings),
            telemetry: Telemetry::read(settings),
            amqp_url: settings.optional::<String>("amqp_url").map(SecretString::from),
        }
    }
}

/// What the long-running process needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every command needs.
    pub base: Base,
    /// Where the broker is.
    pub amqp_url: SecretString,
    /// How long the last batch may take after the first signal.
    pub grace: Duration,
    /// How often expired leases are looked for.
    pub reaper_interval: Duration,
    /// How long a confirmed message may lie unclaimed before it is published again; each time twice as long.
    pub republish_after: Duration,
    /// How long an id is remembered, so that it runs once: a day at least, in whole days.
    pub id_window: Duration,
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
            grace: settings.duration("grace", GRACE),
            reaper_interval: settings.duration("reaper_interval", REAPER_INTERVAL),
            republish_after: settings.duration("republish_after", REPUBLISH_AFTER),
            id_window: settings.duration("id_window", ID_WINDOW),
        };
        for (key, duration) in
            [("reaper_interval", config.reaper_interval), ("republish_after", config.republish_after)]
        {
            if duration.is_zero() {
                settings.reject(format!("{key}: is zero"));
            }
        }
        if config.id_window < Duration::from_hours(24) {
            settings.reject("id_window: is less than a day".to_owned());
        }
        settings.finish()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn sources(overrides: &[&str]) -> Sources {
        Sources { config: None, overrides: overrides.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn everything_wrong_with_the_service_is_reported_at_once() {
        let sources = sources(&["database_url=postgres://h/d", "grace=soon", "reaper_interval=0s"]);
        let message = Config::read(&sources).unwrap_err().to_string();
        for part in ["--set grace", "reaper_interval: is zero"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    fn a_command_needs_no_broker_and_minds_no_service_key() {
        let sources = sources(&["database_url=postgres://h/d", "grace=20s"]);
        let base = Base::read(&sources).unwrap();
        assert_eq!(base.database.url.expose_secret(), "postgres://h/d");
    }
}
