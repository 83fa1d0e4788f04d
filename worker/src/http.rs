//! What a worker answers to whoever watches it: what it measures, that it runs, and whether it can do its work.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use shared::broker::Broker;
use shared::http::listener::{self, Listener};
use shared::scrape;
use tokio_util::sync::CancellationToken;

use crate::worker::Worker;

/// Answers until `stop`.
///
/// # Errors
/// See [`listener::serve`].
pub async fn serve(
    listener: Listener,
    metrics: PrometheusHandle,
    worker: Arc<Worker>,
    broker: Broker,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || ready(&worker, &broker)))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, scrape::MEDIA_TYPE)], metrics.render())));
    listener::serve(listener, router, stop).await
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
