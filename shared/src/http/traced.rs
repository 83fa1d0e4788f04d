//! Requests that belong to a trace.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::trace::{Kind, Moment, Span, TRACEPARENT, TRACESTATE, TraceContext, current, tracer};

/// Has a request that names a recorded trace be a span of it: what it logs says so, and the tasks that it asks for are below that span.
/// Others are none: a dashboard makes a request every few seconds.
pub async fn traced(mut request: Request, next: Next) -> Response {
    let named = context(request.headers());
    let Some(place) = tracer().requested(named.as_ref()) else { return next.run(request).await };
    let (span, from) = (place.span(), Moment::now());
    if let Ok(header) = HeaderValue::try_from(span.to_string()) {
        request.headers_mut().insert(TRACEPARENT, header);
    }
    let method = name(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let response = current::within(Some(span), next.run(request)).await;

    let status = response.status();
    let title = route.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    Span::new(span, place.parent, title, Kind::Server, (from, Moment::now()))
        .with_state(named.as_ref().and_then(TraceContext::state))
        .with("http.request.method", method)
        .with_some("http.route", route)
        .with("http.response.status_code", status.as_u16())
        .failed(status.is_server_error().then_some("5xx"))
        .send();
    response
}

/// The trace that a request belongs to, which its tasks go on with.
#[must_use]
pub fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    TraceContext::read(text(TRACEPARENT), text(TRACESTATE))
}

/// Clients may make methods up.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}
