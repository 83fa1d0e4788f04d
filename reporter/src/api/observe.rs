//! What requests cost, by the template of their path.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, histogram};
use shared::db::statement::counted;

use crate::metrics::{HTTP_REQUEST, HTTP_REQUESTS, HTTP_STATEMENTS};

/// Measures a request: how long it took, how it ended, and how many statements it made.
pub(super) async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let began = Instant::now();
    let (response, statements) = counted(next.run(request)).await;
    let status = match response.status().as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    };
    counter!(HTTP_REQUESTS, "route" => route.clone(), "method" => method, "status" => status).increment(1);
    counter!(HTTP_STATEMENTS, "route" => route.clone()).increment(statements);
    histogram!(HTTP_REQUEST, "route" => route).record(began.elapsed().as_secs_f64());
    response
}
