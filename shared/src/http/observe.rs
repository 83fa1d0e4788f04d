//! What requests cost, by the template of their path.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, histogram};

use crate::db::statement::counted;
use crate::metric;
use crate::metric::{Metric, SHORT};

metric!(REQUESTS: Metric::counter(
    "holdfast_http_requests_total", &["route", "method", "status"],
    "Requests below /api/v1, by the template of their path, method and class of status; `gone` where the client did not wait for the answer"
));
metric!(REQUEST: Metric::histogram(
    "holdfast_http_request_seconds", &["route"], &SHORT,
    "How long requests below /api/v1 took until their answer began, by the template of their path"
));
metric!(STATEMENTS: Metric::counter(
    "holdfast_http_statements_total", &["route"],
    "Statements that requests below /api/v1 made, by the template of their path: none for an answer that is kept for a moment"
));

/// Measures a request: how long it took, how it ended, and how many statements it made.
pub async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let mut measured = Measured { route, method, status: "gone", began: Instant::now() };
    let (response, statements) = counted(next.run(request)).await;
    measured.status = match response.status().as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    };
    counter!(STATEMENTS, "route" => measured.route.clone()).increment(statements);
    response
}

/// A request, which is counted when this is dropped: nothing goes on where its client has gone, and these are the slowest.
struct Measured {
    route: String,
    method: &'static str,
    status: &'static str,
    began: Instant,
}

impl Drop for Measured {
    fn drop(&mut self) {
        let Self { route, method, status, began } = self;
        counter!(REQUESTS, "route" => route.clone(), "method" => *method, "status" => *status).increment(1);
        histogram!(REQUEST, "route" => std::mem::take(route)).record(began.elapsed().as_secs_f64());
    }
}
