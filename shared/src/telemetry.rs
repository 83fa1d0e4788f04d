//! Logs: to standard error, for people on a terminal and as JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::name::text_enum;
use crate::settings::{Settings, key};

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

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Telemetry {
    filter: String,
    format: LogFormat,
    /// What is told first.
    first: Vec<String>,
}

impl Telemetry {
    /// Reads `log` (a filter such as `info` or `worker=debug`) and `log_format`.
    pub fn read(settings: &mut Settings) -> Self {
        let log = key("log", "What is logged: a filter such as `info,worker=debug`");
        let mut filter: String = settings.get(log, DEFAULT_FILTER.to_owned());
        if !filter.contains("lapin") {
            // Among others it logs whole messages that the broker returns.
            filter.push_str(",lapin=off");
        }
        if let Err(error) = EnvFilter::try_new(&filter) {
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
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(&self.filter))
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        match self.format {
            LogFormat::Text => builder.init(),
            LogFormat::Json => builder.json().init(),
        }
        for warning in &self.first {
            tracing::warn!("{warning}");
        }
    }
}
