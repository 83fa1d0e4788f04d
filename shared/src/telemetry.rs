//! Logs: to standard error, for people on a terminal and as JSON for machines. What is logged can be changed while the process runs.

mod format;

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::name::text_enum;
use crate::settings::{Settings, key};
use format::Traced;

text_enum! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// The client libraries repeat, more than once, what our own lines say.
const DEFAULT_FILTER: &str = "info,lapin=off,tokio_postgres=warn,refinery_core=warn";

/// The process's log, once it was started.
static LOG: OnceLock<Log> = OnceLock::new();

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Telemetry {
    filter: String,
    format: LogFormat,
    /// What is told first.
    first: Vec<String>,
}

/// A log that has been started.
struct Log {
    configured: String,
    filter: Handle<EnvFilter, Registry>,
}

/// What is logged at this moment, and what would be after a new start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Filters {
    /// At this moment.
    pub current: String,
    /// As it is configured.
    pub configured: String,
}

impl Telemetry {
    /// Reads `log` (a filter such as `info` or `worker=debug`) and `log_format`.
    pub fn read(settings: &mut Settings) -> Self {
        let log = key("log", "What is logged: a filter such as `info,worker=debug`");
        let filter: String = settings.get(log, DEFAULT_FILTER.to_owned());
        if let Err(error) = parse(&filter) {
            settings.reject(format!("log: {error}"));
        }
        let format = key("log_format", "How log lines look: for people, or a JSON object each");
        Self { filter, format: settings.get(format, LogFormat::Text), first: Vec::new() }
    }

    /// Tells what came of reading the settings as soon as logging starts.
    pub fn tell_first(&mut self, warnings: Vec<String>) {
        self.first = warnings;
    }

    /// Starts logging; to be called once a process.
    pub fn start(&self) {
        // It was read before: what cannot be is an error of the settings.
        let filter = parse(&self.filter).unwrap_or_default();
        let configured = filter.to_string();
        let (filter, handle) = reload::Layer::new(filter);
        let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        let registry = tracing_subscriber::registry().with(filter);
        match self.format {
            LogFormat::Text => registry.with(lines.map_event_format(Traced::Text)).init(),
            LogFormat::Json => registry.with(lines.json().map_event_format(Traced::Json)).init(),
        }
        _ = LOG.set(Log { configured, filter: handle });
        for warning in &self.first {
            tracing::warn!("{warning}");
        }
    }
}

/// What is logged; `None` before the log was started.
#[must_use]
pub fn filters() -> Option<Filters> {
    let log = LOG.get()?;
    let current = log.filter.with_current(ToString::to_string).ok()?;
    Some(Filters { current, configured: log.configured.clone() })
}

/// Logs something else from now on, until the process ends.
///
/// # Errors
/// It is no filter.
pub fn set_filter(filter: &str) -> Result<(), String> {
    let filter = parse(filter)?;
    let log = LOG.get().ok_or("the log was not started")?;
    // Whoever reads the log is to know why it changes.
    tracing::warn!(filter = %filter, "the log's filter is changed");
    log.filter.reload(filter).map_err(|error| error.to_string())
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    if filter.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    // Among others the broker's client logs whole messages that it returns.
    let quiet = if filter.contains("lapin") { "" } else { ",lapin=off" };
    EnvFilter::try_new(format!("{filter}{quiet}")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_the_brokers_client_quiet_unless_it_speaks_of_it() {
        assert!(parse("info").unwrap().to_string().contains("lapin=off"));
        assert!(!parse("info,lapin=debug").unwrap().to_string().contains("lapin=off"));
        for wrong in ["", " ", "worker=loud", "[["] {
            assert!(parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
