//! Answers: their tags, and what is said instead of the same thing again.

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use shared::db::Error;
use shared::http::Problem;

/// What is answered, and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// JSON.
    pub(super) body: Bytes,
    /// Where the page behind this one begins, if there is one.
    pub(super) next: Option<String>,
    /// The same for the same body, in this process and every other; weak, because bodies are compressed on their way.
    tag: String,
}

impl Answer {
    /// An answer.
    #[must_use]
    pub(super) fn new(body: Bytes, next: Option<String>) -> Self {
        let hash = hex::encode(Sha256::digest(&body));
        let tag = format!("W/\"{}\"", hash.get(..32).unwrap_or(&hash));
        Self { body, next, tag }
    }

    /// A page of a list.
    #[must_use]
    pub(super) fn page(items: &[u8], next: Option<String>) -> Self {
        let mut body = Vec::with_capacity(items.len() + 64);
        body.extend_from_slice(b"{\"items\":");
        body.extend_from_slice(items);
        body.extend_from_slice(b",\"next\":");
        match &next {
            // Of letters, digits, - and _.
            Some(cursor) => body.extend_from_slice(format!("\"{cursor}\"").as_bytes()),
            None => body.extend_from_slice(b"null"),
        }
        body.push(b'}');
        Self::new(body.into(), next)
    }

    /// As the answer to a request; `link` makes the address of the page behind it.
    pub(super) fn respond(&self, request: &HeaderMap, link: impl FnOnce(&str) -> String) -> Response {
        let mut response = if is_known(request, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Body::from(self.body.clone()).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        let headers = response.headers_mut();
        // Whoever keeps it asks whether it is good still.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(ETAG, tag);
        }
        let next = self.next.as_deref().map(|cursor| format!("<{}>; rel=\"next\"", link(cursor)));
        if let Some(Ok(next)) = next.map(|next| HeaderValue::from_str(&next)) {
            headers.insert(LINK, next);
        }
        response
    }
}

/// Whether whoever asks has what a tag is of.
pub(super) fn is_known(request: &HeaderMap, tag: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.trim().trim_start_matches("W/")
    }
    request.get_all(IF_NONE_MATCH).iter().any(|tags| {
        let tags = tags.to_str().unwrap_or_default();
        tags.trim() == "*" || tags.split(',').any(|one| opaque(one) == opaque(tag))
    })
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing is named so.
    Missing,
    /// The database took too long for it.
    TooLong,
    /// The database cannot be used. Why is in the log.
    Unusable,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        crate::events::not_read(&error);
        if error.took_too_long() { Self::TooLong } else { Self::Unusable }
    }
}

impl Failure {
    /// As an answer about what is asked for.
    #[must_use]
    pub(super) fn problem(&self, one: &str) -> Problem {
        match self {
            Self::Missing => Problem::new(StatusCode::NOT_FOUND, format!("there is no such {one}")),
            Self::TooLong => {
                let why =
                    "the database took too long for it: narrow it, by a job or by from and to, or try again";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(5)
            }
            Self::Unusable => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be used now: try again")
                    .retry_after(5)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(answer: &Answer, tags: &str) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, tags.parse().unwrap());
        answer.respond(&headers, str::to_owned).status().as_u16()
    }

    #[test]
    fn what_is_known_is_not_said_again_and_what_is_new_is() {
        let answer = Answer::page(b"[1]", None);
        let strong = answer.tag.trim_start_matches("W/");
        for tags in [&*answer.tag, strong, "*", &format!("\"other\", {strong}")] {
            assert_eq!(status(&answer, tags), 304, "{tags}");
        }
        for tags in ["\"other\"", "", "W/", &Answer::page(b"[2]", None).tag] {
            assert_eq!(status(&answer, tags), 200, "{tags}");
        }
    }
}
