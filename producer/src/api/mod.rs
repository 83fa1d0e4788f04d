//! The write half of the HTTP interface: `/api/v1`, every change to the system. What is asked for is done by
//! [`crate::operations`]; here it is read, bounded, and answered.

mod answers;
mod body;
mod caller;
mod idempotency;
mod lockout;
mod openapi;
mod pace;
mod problem;

mod alerts;
mod dead_tasks;
mod definitions;
mod limits;
mod pools;
mod schedules;
mod tasks;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use shared::db::{self, Database};
use shared::scrape;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::events;
use lockout::Lockout;
use openapi::Document;
use pace::Paces;
use problem::Problem;

/// The largest body, in bytes: a batch of tasks, or one definition.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Requests that are answered at once; others wait for their turn within their time.
const PLACES: usize = 8;
/// What is not ready by then is not ready.
const READINESS_TIMEOUT: Duration = Duration::from_secs(3);

/// What all handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    database: Database,
    metrics: PrometheusHandle,
    paces: Arc<Paces>,
    lockout: Arc<Lockout>,
    /// Requests that may use the database at once, so that the others of this process always find a connection.
    places: Arc<Semaphore>,
}

/// Takes the address, so that a wrong one is found at the start, and says which one it is.
///
/// # Errors
/// The address is in use, or is none of this machine.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen: {address}"))?;
    events::listening(listener.local_addr()?);
    Ok(listener)
}

/// Answers until `stop`; what is being answered then is finished.
///
/// # Errors
/// The listener broke.
pub(crate) async fn serve(
    listener: TcpListener,
    database: Database,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let api = Api {
        database,
        metrics,
        paces: Arc::default(),
        lockout: Arc::default(),
        places: Arc::new(Semaphore::new(PLACES)),
    };
    let (paces, metrics, upkeep) = (Arc::clone(&api.paces), api.metrics.clone(), stop.clone());
    let service = router(api).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned());
    tokio::select! {
        served = serving.into_future() => served,
        never = paces.tidy() => match never {},
        never = async {
            scrape::keep(&metrics, &upkeep).await;
            std::future::pending::<Infallible>().await
        } => match never {},
    }
}

fn router(api: Api) -> Router {
    let (commands, document) = commands().split_for_parts();
    let commands = commands
        // What is slow is nobody's business who has no token.
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(api.clone(), caller::authenticate))
        .layer(middleware::from_fn(in_time))
        .layer(DefaultBodyLimit::max(MOST_BYTES));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(commands)
        .merge(
            SwaggerUi::new("/api/v1/docs")
                .external_url_unchecked("/api/v1/openapi.json", openapi::document(document)),
        )
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is no such resource"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource does not take this method")
        })
        .with_state(api)
}

/// All commands, with the document that describes them.
pub(crate) fn commands() -> OpenApiRouter<Api> {
    let commands = OpenApiRouter::new()
        .routes(routes!(tasks::enqueue))
        .routes(routes!(tasks::enqueue_batch))
        .routes(routes!(tasks::cancel))
        .routes(routes!(dead_tasks::replay))
        .routes(routes!(dead_tasks::discard))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::run))
        .routes(routes!(pools::change))
        .routes(routes!(pools::resume))
        .routes(routes!(limits::set, limits::clear))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(alerts::unacknowledge))
        .routes(routes!(alerts::silence))
        .routes(routes!(alerts::unsilence))
        .routes(routes!(definitions::put_job, definitions::delete_job))
        .routes(routes!(definitions::put_target, definitions::delete_target));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", commands)
}

/// A request that takes too long is ended. What it began is undone with its transaction, unless that was being committed.
async fn in_time(request: axum::extract::Request, next: middleware::Next) -> Response {
    match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let why = format!(
                "it was not done within {} s, or its answer was late: repeat it with the same Idempotency-Key or id",
                TIME_LIMIT.as_secs()
            );
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(5).into_response()
        }
    }
}

async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(CONTENT_TYPE, scrape::MEDIA_TYPE)], api.metrics.render())
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    database: &'static str,
}

async fn ready(State(api): State<Api>) -> Response {
    // Why not is for the log: anybody may ask.
    let (status, database) = match db::within(READINESS_TIMEOUT, api.database.ping()).await {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(error) => {
            events::request_failed(&error);
            (StatusCode::SERVICE_UNAVAILABLE, "cannot be used now")
        }
    };
    (status, Json(Readiness { ready: status == StatusCode::OK, database })).into_response()
}
