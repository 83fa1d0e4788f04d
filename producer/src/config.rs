//! The producer's settings.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use shared::compliance::RESTORE_WINDOW;
use shared::db::DatabaseConfig;
use shared::http::TrustedProxies;
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
/// How long executions and evidence are kept: a year, so that the same season can be compared, and a month to do it in.
const HISTORY: Duration = Duration::from_hours(400 * 24);
/// What only the long-running process uses; the commands let it stand in the same file.
const SERVICE_KEYS: [&str; 7] =
    ["grace", "reaper_interval", "republish_after", "id_window", "history", "listen", "http.trusted_proxies"];

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
    /// Where commands are taken over HTTP; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Which gateways may say whom a request is from.
    pub trusted_proxies: TrustedProxies,
    /// How long the last batch may take after the first signal.
    pub grace: Duration,
    /// How often expired leases are looked for.
    pub reaper_interval: Duration,
    /// How long a confirmed message may lie unclaimed before it is published again; each time twice as long.
    pub republish_after: Duration,
    /// How long an id is remembered, so that it runs once: a day at least, in whole days.
    pub id_window: Duration,
    /// How long executions and evidence are kept, rounded up to whole months: at least as long as a rule may look back,
    /// and the window of ids beyond that.
    pub history: Duration,
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
            listen: settings.optional("listen"),
            trusted_proxies: settings.get("http.trusted_proxies", TrustedProxies::default()),
            grace: settings.duration("grace", GRACE),
            reaper_interval: settings.duration("reaper_interval", REAPER_INTERVAL),
            republish_after: settings.duration("republish_after", REPUBLISH_AFTER),
            id_window: settings.duration("id_window", ID_WINDOW),
            history: settings.duration("history", HISTORY),
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
        let least = RESTORE_WINDOW.saturating_add(config.id_window);
        if config.history < least {
            let least = humantime::format_duration(Duration::from_hours(least.as_secs().div_ceil(3600)));
            settings
                .reject(format!("history: is less than {least}, the longest window of a rule and id_window"));
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
    fn history_is_kept_as_long_as_rules_and_ids_look_back() {
        let read = |more: &[&str]| {
            let urls = ["database_url=postgres://h/d", "amqp_url=amqp://h"];
            Config::read(&sources(&[&urls, more].concat()))
        };
        assert_eq!(read(&[]).unwrap().history, HISTORY);
        assert!(read(&["history=97d"]).is_ok());
        for (history, id_window) in [("96d", "7d"), ("97d", "8d")] {
            let settings = [&*format!("history={history}"), &*format!("id_window={id_window}")];
            let message = read(&settings).unwrap_err().to_string();
            assert!(message.contains("history: is less than"), "{message}");
        }
    }

    #[test]
    fn a_command_needs_no_broker_and_minds_no_service_key() {
        let sources = sources(&["database_url=postgres://h/d", "grace=20s"]);
        let base = Base::read(&sources).unwrap();
        assert_eq!(base.database.url.expose_secret(), "postgres://h/d");
    }
}
