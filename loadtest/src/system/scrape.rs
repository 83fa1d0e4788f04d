//! Asking a program for its metrics, as Prometheus would.

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where a program listens, by its log.
pub(super) fn address(log: &str) -> Option<String> {
    let address = log.split("address=").nth(1)?.split_whitespace().next()?;
    Some(address.trim_matches('"').to_owned())
}

/// The whole answer.
pub(super) async fn scrape(address: &str) -> anyhow::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let status = answer.lines().next().context("a program answers nothing")?;
    ensure!(status.contains(" 200 "), "a program answers {status}");
    Ok(answer)
}
