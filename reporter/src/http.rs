//! What is served over HTTP: health, readiness and metrics, which wait for no other request, and everything to be read.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use shared::db::{Database, migration};
use shared::http::listener::{self, Listener};
use shared::scrape;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api};
use crate::metrics::queues::Reach;

/// What is not ready by then is not ready; probes of orchestrators give up after few seconds themselves.
const READINESS_TIMEOUT: Duration = Duration::from_secs(3);

/// What the answers are about.
#[derive(Clone)]
pub struct Observed {
    /// The database.
    pub database: Database,
    /// The broker.
    pub broker: Reach,
    /// What was measured.
    pub metrics: PrometheusHandle,
}

/// Answers until `stop`; what is being answered then is finished.
///
/// # Errors
/// See [`listener::serve`].
pub async fn serve(
    listener: Listener,
    observed: Observed,
    api: Api,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(observed)
        .merge(api::router(api.clone()));
    tokio::select! {
        served = listener::serve(listener, router, stop) => served,
        never = api.tidy() => match never {},
    }
}

/// The body of `/readyz`: `ok`, or why not.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    database: String,
    broker: String,
}

async fn ready(State(observed): State<Observed>) -> Response {
    let (database, broker) = tokio::join!(
        answer(async {
            migration::ready(&observed.database).await.map(drop).map_err(|error| error.to_string())
        }),
        answer(async { observed.broker.ping().await.map_err(|error| error.to_string()) }),
    );
    let ready = database.is_ok() && broker.is_ok();
    let text = |answer: Result<(), String>| answer.map_or_else(|why| why, |()| "ok".to_owned());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Readiness { ready, database: text(database), broker: text(broker) };
    (status, Json(body)).into_response()
}

async fn answer(ping: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = |_| Err(format!("no answer within {} s", READINESS_TIMEOUT.as_secs()));
    tokio::time::timeout(READINESS_TIMEOUT, ping).await.unwrap_or_else(late)
}

async fn metrics(State(observed): State<Observed>) -> impl IntoResponse {
    ([(CONTENT_TYPE, scrape::MEDIA_TYPE)], observed.metrics.render())
}
