//! The producer's settings.

use std::ops::Bound;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use shared::admin;
use shared::broker;
use shared::compliance::RESTORE_WINDOW;
use shared::db::DatabaseConfig;
use shared::http::TrustedProxies;
use shared::http::place::Place;
use shared::settings::{Invalid, Settings, Sources, key};
use shared::telemetry::Telemetry;
use shared::tls::{Files, Trust};
use shared::trace::TraceConfig;

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
/// What every command needs.
#[derive(Debug, Clone)]
pub struct Base {
    /// Where the database is.
    pub database: DatabaseConfig,
    /// What is logged.
    pub telemetry: Telemetry,
    /// Who may vouch for servers.
    pub trust: Trust,
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
        let amqp_url = settings.optional_secret(broker::url_key());
        let mut base = Self::of(&mut settings, amqp_url);
        base.telemetry.tell_first(settings.finish()?);
        Ok(base)
    }

    fn of(settings: &mut Settings, amqp_url: Option<SecretString>) -> Self {
        let trust = Trust::read(settings);
        if let Some(url) = &amqp_url {
            broker::check_url(settings, url);
        }
        Self {
            database: DatabaseConfig::read(settings, &trust),
            telemetry: Telemetry::read(settings),
            trust,
            amqp_url,
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
    pub listen: Option<Place>,
    /// Which gateways may say whom a request is from.
    pub trusted_proxies: TrustedProxies,
    /// Where it is looked into; nowhere when absent.
    pub admin: Option<PathBuf>,
    /// Where spans go, and which.
    pub traces: TraceConfig,
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
        let mut config = Self::from(&mut settings);
        config.base.telemetry.tell_first(settings.finish()?);
        Ok(config)
    }

    /// Reads the settings; what is wrong stays with them.
    pub fn from(settings: &mut Settings) -> Self {
        let some = (Bound::Excluded(Duration::ZERO), Bound::Unbounded);
        let grace = key("grace", "How long what is under way may take after the first signal");
        let reaper = key("reaper_interval", "How often expired leases are looked for");
        let republish = key(
            "republish_after",
            "How long a confirmed message may lie unclaimed before it is published again; each time twice as long",
        );
        let window = key("id_window", "How long an id is remembered, so that it runs once; whole days");
        let history = key(
            "history",
            "How long executions and evidence are kept, rounded up to whole months; at least `id_window` and 90 days",
        );
        let amqp_url = settings.secret(broker::url_key());
        let base = Base::of(settings, Some(amqp_url.clone()));
        let config = Self {
            listen: listen(settings),
            trusted_proxies: TrustedProxies::read(settings),
            admin: admin::socket(settings),
            traces: TraceConfig::read(settings, &base.trust),
            base,
            amqp_url,
            grace: settings.duration(grace, GRACE),
            reaper_interval: settings.within(reaper, REAPER_INTERVAL, some),
            republish_after: settings.within(republish, REPUBLISH_AFTER, some),
            id_window: settings.within(window, ID_WINDOW, Duration::from_hours(24)..),
            history: settings.duration(history, HISTORY),
        };
        let least = RESTORE_WINDOW.saturating_add(config.id_window);
        if config.history < least {
            let least = humantime::format_duration(Duration::from_hours(least.as_secs().div_ceil(3600)));
            settings
                .reject(format!("history: is less than {least}, the longest window of a rule and id_window"));
        }
        config
    }
}

fn listen(settings: &mut Settings) -> Option<Place> {
    let listen = key(
        "listen",
        "Where commands are taken over HTTP, and health and metrics are served; nowhere when absent",
    );
    let address = settings.optional(listen.such_as("127.0.0.1:8081"));
    let tls = Files::read(settings);
    address.map(|address| Place::new(address, tls, settings))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use tempfile::NamedTempFile;

    use super::*;

    /// Secrets stand in a file, which lives as long as the sources are read.
    fn sources(file: &NamedTempFile, secrets: &str, overrides: &[&str]) -> Sources {
        std::fs::write(file.path(), secrets).unwrap();
        let overrides = overrides.iter().map(ToString::to_string).collect();
        Sources { config: Some(file.path().to_owned()), overrides }
    }

    const DATABASE: &str = "database_url = \"postgres://h/d\"\n";

    #[test]
    fn everything_wrong_with_the_service_is_reported_at_once() {
        let file = NamedTempFile::new().unwrap();
        let sources = sources(&file, DATABASE, &["grace=soon", "reaper_interval=0s"]);
        let message = Config::read(&sources).unwrap_err().to_string();
        for part in ["--set grace", "reaper_interval: use more than 0s"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    fn history_is_kept_as_long_as_rules_and_ids_look_back() {
        let file = NamedTempFile::new().unwrap();
        let urls = format!("{DATABASE}amqp_url = \"amqp://h\"\n");
        let read = |more: &[&str]| Config::read(&sources(&file, &urls, more));
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
        let file = NamedTempFile::new().unwrap();
        let sources = sources(&file, DATABASE, &["grace=20s"]);
        let base = Base::read(&sources).unwrap();
        assert_eq!(base.database.url.expose_secret(), "postgres://h/d");
    }
}
