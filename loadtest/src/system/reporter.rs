//! A reporter beside the fleet, looked at as Prometheus would.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use devstack::{Service, ServiceCommand};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
            if let Some(address) = address(&service.log()) {
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
        let mut connection = TcpStream::connect(&self.address).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let status = answer.lines().next().context("the reporter answers nothing")?;
        ensure!(status.contains(" 200 "), "the reporter answers {status}");
        Ok(answer)
    }
}

fn address(log: &str) -> Option<String> {
    let address = log.split("address=").nth(1)?.split_whitespace().next()?;
    Some(address.trim_matches('"').to_owned())
}
