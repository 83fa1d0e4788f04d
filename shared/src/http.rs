//! What every HTTP interface of ours has in common: who calls ([`caller`]), from where ([`forwarded`]), how often ([`pace`]), who is not heard
//! ([`lockout`]), how errors look ([`problem`]), which trace they belong to ([`traced`]), how parameters are read ([`parameters`]), where they
//! are ([`place`]) and how connections are served ([`listener`]).

pub mod caller;
pub mod forwarded;
pub mod listener;
pub mod lockout;
pub mod observe;
pub mod pace;
pub mod parameters;
pub mod place;
pub mod problem;
pub mod tokens;
pub mod traced;

mod events;

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

pub use caller::Gate;
pub use forwarded::TrustedProxies;
pub use problem::Problem;

/// Ends a request that takes too long, with an answer that says `why`.
pub async fn in_time(limit: Duration, why: &str, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(5).into_response(),
    }
}

/// The answer to a path that nothing is at.
#[must_use]
pub fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such resource")
}

/// The answer to a method that a resource does not take.
#[must_use]
pub fn not_this_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource does not take this method")
}
