//! Logs: to standard error, for people on a terminal and as JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::name::text_enum;
use crate::settings::Settings;

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
}

impl Telemetry {
    /// Reads `log` (a filter such as `info` or `worker=debug`) and `log_format`.
    pub fn read(settings: &mut Settings) -> Self {
        let mut filter: String = settings.get("log", DEFAULT_FILTER.to_owned());
        if !filter.contains("lapin") {
            // Among others it logs whole messages that the broker returns.
            filter.push_str(",lapin=off");
        }
        if let Err(error) = EnvFilter::try_new(&filter) {
            settings.reject(format!("log: {error}"));
        }
        Self { filter, format: settings.get("log_format", LogFormat::Text) }
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
    }
}
