//! What is answered on the socket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Insight;
use super::dump::{Pools, Tasks};
use super::profile::{self, Format};
use super::socket::Socket;
use crate::http::parameters::Query;
use crate::http::{self, Problem};
use crate::lifecycle::Loops;
use crate::telemetry::{self, Filters};

/// How long a profile takes where nobody says, in seconds.
const SECONDS: u64 = 30;

#[derive(Clone)]
struct Admin {
    insight: Insight,
    loops: Loops,
    /// Two profilers would share one timer and one signal.
    profiling: Arc<Mutex<()>>,
    stop: CancellationToken,
}

/// Answers until `stop`.
pub(super) async fn serve(
    socket: Socket,
    insight: Insight,
    loops: Loops,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let admin = Admin { insight, loops, profiling: Arc::default(), stop: stop.clone() };
    let router = Router::new()
        .route("/tasks", get(tasks))
        .route("/pools", get(pools))
        .route("/log", get(log).put(set_log))
        .route("/profile", get(profiled))
        .fallback(async || http::nothing_here())
        .method_not_allowed_fallback(async || http::not_this_method())
        .with_state(admin);
    let served = tokio::select! {
        served = axum::serve(socket, router).into_future() => served,
        () = stop.cancelled() => Ok(()),
    };
    served
}

async fn tasks(State(admin): State<Admin>) -> Json<Tasks> {
    Json(admin.insight.tasks(&admin.loops))
}

async fn pools(State(admin): State<Admin>) -> Json<Pools> {
    Json(admin.insight.pools())
}

async fn log() -> Result<Json<Filters>, Problem> {
    let missing = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this process has no log");
    telemetry::filters().map(Json).ok_or_else(missing)
}

async fn set_log(filter: String) -> Result<Json<Filters>, Problem> {
    telemetry::set_filter(filter.trim())
        .map_err(|why| Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "filter", why))?;
    log().await
}

/// What a profile is to be.
#[derive(Debug, Deserialize)]
struct Wanted {
    seconds: Option<u64>,
    format: Option<String>,
}

async fn profiled(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let wrong = |field: &str, why: String| Problem::field(StatusCode::UNPROCESSABLE_ENTITY, field, why);
    let seconds = Duration::from_secs(wanted.seconds.unwrap_or(SECONDS));
    if seconds.is_zero() || seconds > profile::LONGEST {
        return Err(wrong("seconds", format!("use 1 to {}", profile::LONGEST.as_secs())));
    }
    let format = wanted.format.as_deref().unwrap_or(Format::Svg.as_str());
    let format: Format =
        format.parse().map_err(|error: crate::name::UnknownWord| wrong("format", error.to_string()))?;
    let Ok(alone) = admin.profiling.clone().try_lock_owned() else {
        return Err(Problem::new(StatusCode::CONFLICT, "another profile is being made: wait for its end"));
    };
    let made = tokio::select! {
        made = profile::make(admin.insight.program, seconds, format, alone) => made,
        () = admin.stop.cancelled() => Err(anyhow::anyhow!("the process stops")),
    };
    let failed = |error: anyhow::Error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}"));
    let body = made.map_err(failed)?;
    Ok(([(CONTENT_TYPE, format.media_type())], body).into_response())
}
