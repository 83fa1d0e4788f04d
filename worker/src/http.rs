//! What a worker answers to whoever scrapes it: what it measures, and that it runs.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use shared::scrape;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::events;

/// Takes the address, so that a wrong one is found at the start, and says which one it is.
///
/// # Errors
/// The address is in use, or is none of this machine.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen: {address}"))?;
    events::listening(listener.local_addr()?);
    Ok(listener)
}

/// Answers until `stop`.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let measured = metrics.clone();
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, scrape::MEDIA_TYPE)], measured.render())));
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served,
        () = scrape::keep(&metrics, &stop) => Ok(()),
    }
}
