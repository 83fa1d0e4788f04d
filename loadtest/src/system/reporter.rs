//! A reporter beside the fleet, looked at as Prometheus would.

use std::time::{Duration, Instant};

use anyhow::ensure;
use devstack::{Service, ServiceCommand};

use super::scrape;

/// How long it may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_mins(1);

/// A running reporter.
pub(crate) struct Reporter {
    /// Its process.
    pub(crate) service: Service,
    address: String,
}

impl Reporter {
    /// Starts it at a free port and waits until it listens.
    pub(super) async fn start(command: ServiceCommand) -> anyhow::Result<Self> {
        // What it says at this level is the address.
        let command = command.env("HOLDFAST_LISTEN", "127.0.0.1:0").env("HOLDFAST_LOG", "info");
        let (service, started) = (Service::start(command)?, Instant::now());
        loop {
            if let Some(address) = scrape::address(&service.log()) {
                return Ok(Self { service, address });
            }
            let lives = service.exit()?.is_none() && started.elapsed() < LISTENS_WITHIN;
            ensure!(lives, "the reporter does not listen; its log:\n{}", service.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Asks for its metrics, and returns the answer.
    pub(crate) async fn scrape(&self) -> anyhow::Result<String> {
        scrape::scrape(&self.address).await
    }
}
