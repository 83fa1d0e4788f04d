//! What a worker answers to whoever watches it: what it measures, that it runs, and whether it can do its work.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use shared::broker::Broker;
use shared::scrape;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::events;
use crate::worker::Worker;

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
    worker: Arc<Worker>,
    broker: Broker,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || ready(&worker, &broker)))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, scrape::MEDIA_TYPE)], metrics.render())));
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served,
        () = stop.cancelled() => Ok(()),
    }
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    database: &'static str,
    broker: &'static str,
}

/// A worker can do its work while the database keeps its leases, and while it has a connection for each of its pools.
fn ready(worker: &Worker, broker: &Broker) -> Response {
    let sessions = broker.sessions();
    let (database, connected) = (worker.leases.are_kept(), sessions.values().all(|connected| *connected));
    let text = |well| if well { "ok" } else { "cannot be used now" };
    let ready = database && connected;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, database: text(database), broker: text(connected) })).into_response()
}
