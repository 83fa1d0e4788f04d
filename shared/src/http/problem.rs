//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::events;
use crate::db;

/// The answer to a request that was refused or could not be done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem: its status says all there is to say.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// The fields that are wrong, where single ones are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Wrong>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    etag: Option<Box<str>>,
}

/// A field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct Wrong {
    /// Its path, such as `tasks[3].job`; the name of a header or a parameter where it is one.
    field: String,
    /// What is wrong with it.
    detail: String,
}

impl Problem {
    /// With a status, and what is wrong.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            etag: None,
        }
    }

    /// A field is wrong.
    #[must_use]
    pub fn field(status: StatusCode, field: impl Into<String>, why: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), why.into());
        let problem = Self::new(status, format!("{field}: {detail}"));
        Self { errors: vec![Wrong { field, detail }], ..problem }
    }

    /// Several fields are wrong, or one.
    #[must_use]
    pub fn fields(status: StatusCode, mut wrong: Vec<(String, String)>) -> Self {
        if wrong.len() == 1
            && let Some((field, why)) = wrong.pop()
        {
            return Self::field(status, field, why);
        }
        let problem = Self::new(status, format!("{} fields are wrong", wrong.len()));
        let errors = wrong.into_iter().map(|(field, detail)| Wrong { field, detail }).collect();
        Self { errors, ..problem }
    }

    /// Says in how many seconds another try makes sense.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(u32::try_from(seconds).unwrap_or(u32::MAX)), ..self }
    }

    /// Says which version of the resource is there.
    #[must_use]
    pub fn etag(self, tag: &str) -> Self {
        Self { etag: Some(tag.into()), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, etag) =
            (self.retry_after, self.etag.as_deref().and_then(|tag| tag.parse::<HeaderValue>().ok()));
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(tag) = etag {
            headers.insert(ETAG, tag);
        }
        response
    }
}

/// What went wrong with the database is for the log: it may name hosts and statements.
impl From<db::Error> for Problem {
    fn from(error: db::Error) -> Self {
        events::request_failed(&error);
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database cannot be used now: try again; a command, repeat it with the same Idempotency-Key or id",
        )
        .retry_after(5)
    }
}
