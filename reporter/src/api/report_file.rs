//! The file of a report in one of its formats, as it was stored.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use shared::access::Role;
use shared::db::report::{self, File, Report};
use shared::http::Problem;
use shared::http::caller::allow;
use shared::work::{ReportFormat, ReportKind};
use uuid::Uuid;

use super::answer::Failure;
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
    let (report, file) = read(asks, id, format).await.map_err(|failure| failure.problem("report"))?;
    let (Some(report), Some(file)) = (report, file) else { return Err(missing()) };
    if report.kind == ReportKind::Audit {
        // It tells what only they may read who may read the audit.
        allow(&asks.token, Role::Auditor)?;
    }
    Ok(respond(&report, file, &asks.headers))
}

async fn read(
    asks: &Asks,
    id: Uuid,
    format: ReportFormat,
) -> Result<(Option<Report>, Option<File>), Failure> {
    let client = asks.api.source().primary().client().await?;
    Ok((report::by_id(&client, id).await?, report::file(&client, id, format).await?))
}

fn respond(report: &Report, file: File, request: &HeaderMap) -> Response {
    // Weak, because it is compressed on its way.
    let tag = format!("W/\"{}\"", file.sha256);
    let is_known = request.get_all(IF_NONE_MATCH).iter().any(|tags| {
        tags.to_str()
            .is_ok_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == &tag[2..]))
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.content).into_response()
    };
    let (kind, day) = (report.kind, report.period_start.date_naive());
    let name = format!("attachment; filename=\"holdfast-{kind}-{day}.{}\"", file.format);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (header, value) in [(CONTENT_DISPOSITION, name), (ETAG, tag)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
    response
}
