//! The write half of the HTTP interface: `/api/v1`, every change to the system. What is asked for is done by
//! [`crate::operations`]; here it is read, bounded, and answered.

mod answers;
mod body;
mod idempotency;
pub(crate) mod openapi;
mod refusals;

mod alerts;
mod dead_tasks;
mod definitions;
mod limits;
mod pools;
mod schedules;
mod tasks;

use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use shared::db::{self, Database, migration};
use shared::http::listener::{self, Listener};
use shared::http::pace::Paces;
use shared::http::tokens::Tokens;
use shared::http::traced::traced;
use shared::http::{self, Gate, TrustedProxies, caller};
use shared::scrape;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::events;
use openapi::Document;

/// The largest body, in bytes: a batch of tasks, or one definition.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Requests that are answered at once, and use the database; others wait for their turn within their time.
const PLACES: usize = 8;
/// What is not ready by then is not ready.
const READINESS_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests a minute of a person's token: more than hands can make.
const OF_PERSONS: NonZeroU32 = NonZeroU32::new(60).expect("more than none");
/// Requests a minute of a machine's token; each may carry 500 tasks.
const OF_MACHINES: NonZeroU32 = NonZeroU32::new(6000).expect("more than none");

/// What all handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    database: Database,
    metrics: PrometheusHandle,
}

/// Answers until `stop`; what is being answered then is finished.
pub(crate) async fn serve(
    listener: Listener,
    database: Database,
    trusted: TrustedProxies,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // The others of this process always find a connection to the database.
    let (tokens, paces) = (Tokens::always_asked(), Paces::new(OF_PERSONS, OF_MACHINES));
    let gate = Gate::new(vec![database.clone()], tokens, paces, trusted, PLACES);
    let api = Api { database, metrics };
    tokio::select! {
        served = listener::serve(listener, router(api, gate.clone()), stop) => served,
        never = gate.tidy() => match never {},
    }
}

fn router(api: Api, gate: Gate) -> Router {
    let (commands, document) = commands().split_for_parts();
    let commands = commands
        // Who has no token makes no spans.
        .layer(middleware::from_fn(traced))
        .layer(middleware::from_fn_with_state(gate, caller::authenticate))
        .layer(middleware::from_fn(in_time))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(middleware::from_fn(http::observe::measure));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(commands)
        .merge(
            SwaggerUi::new("/api/v1/docs")
                .external_url_unchecked("/api/v1/openapi.json", openapi::document(document)),
        )
        .fallback(async || http::nothing_here())
        .method_not_allowed_fallback(async || http::not_this_method())
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
async fn in_time(request: Request, next: Next) -> Response {
    let why = format!(
        "it was not done within {} s, or its answer was late: repeat it with the same Idempotency-Key or id",
        TIME_LIMIT.as_secs()
    );
    http::in_time(TIME_LIMIT, &why, request, next).await
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
    let (status, database) = match db::within(READINESS_TIMEOUT, migration::ready(&api.database)).await {
        Ok(_) => (StatusCode::OK, "ok"),
        Err(error) => {
            events::request_failed(&error);
            (StatusCode::SERVICE_UNAVAILABLE, "cannot be used now")
        }
    };
    (status, Json(Readiness { ready: status == StatusCode::OK, database })).into_response()
}
