//! The file of a report in one of its formats, as it was stored.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use shared::access::Role;
use shared::db::{self, report};
use shared::http::Problem;
use shared::http::caller::allow;
use shared::work::{ReportFormat, ReportKind};
use uuid::Uuid;

use super::answer::{Failure, is_known};
use super::read::Asks;

/// Answers with the file.
pub(super) async fn answer(id: &str, format: &str, asks: Asks) -> Response {
    file(id, format, &asks).await.unwrap_or_else(Problem::into_response)
}

async fn file(id: &str, format: &str, asks: &Asks) -> Result<Response, Problem> {
    allow(&asks.token, Role::Viewer)?;
    let missing = || Failure::Missing.problem("report, or not in this format");
    let (Ok(id), Ok(format)) = (Uuid::try_parse(id), format.parse::<ReportFormat>()) else {
        return Err(missing());
    };
    let failed = |error: db::Error| Failure::from(error).problem("report");
    let client = asks.api.source().primary().client().await.map_err(failed)?;
    let report = report::by_id(&client, id).await.map_err(failed)?.ok_or_else(missing)?;
    if report.kind == ReportKind::Audit {
        // It tells what only they may read who may read the audit.
        allow(&asks.token, Role::Auditor)?;
    }
    let stored = report.files.iter().find(|stored| stored.format == format).ok_or_else(missing)?;
    // Weak, because it is compressed on its way.
    let tag = format!("W/\"{}\"", stored.sha256);
    if is_known(&asks.headers, &tag) {
        return Ok(respond(&report, format, &tag, StatusCode::NOT_MODIFIED.into_response()));
    }
    let file = report::file(&client, id, format).await.map_err(failed)?.ok_or_else(missing)?;
    Ok(respond(&report, format, &tag, Body::from(file.content).into_response()))
}

fn respond(report: &report::Report, format: ReportFormat, tag: &str, mut response: Response) -> Response {
    let (kind, day) = (report.kind, report.period_start.date_naive());
    let name = format!("attachment; filename=\"holdfast-{kind}-{day}.{format}\"");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (header, value) in [(CONTENT_DISPOSITION, name), (ETAG, tag.to_owned())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
    response
}
