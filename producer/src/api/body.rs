//! What comes in: JSON bodies, paths and queries, each refused with the field that is wrong.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A JSON body, together with its bytes.
pub(super) struct Body<T> {
    pub(super) value: T,
    pub(super) bytes: axum::body::Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = media_type
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            let why = "the body must be JSON, with the header Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let bytes =
            axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        let why = format!("the body has more than {} KiB", super::MOST_BYTES / 1024);
                        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why)
                    }
                    status => Problem::new(status, rejection.body_text()),
                }
            })?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let (path, why) = (error.path().to_string(), error.inner().to_string());
            match error.inner().classify() {
                serde_json::error::Category::Data if path != "." => {
                    Problem::field(StatusCode::UNPROCESSABLE_ENTITY, path, why)
                }
                serde_json::error::Category::Data => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why),
                _ => Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {why}")),
            }
        })?;
        reader
            .end()
            .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {why}")))?;
        Ok(Self { value, bytes })
    }
}

/// Parts of the path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state).await.map(|path| Self(path.0)).map_err(
            // Nothing that the system knows is named like this.
            |rejection: PathRejection| Problem::new(StatusCode::NOT_FOUND, rejection.body_text()),
        )
    }
}

/// The query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, state).await.map(|query| Self(query.0)).map_err(
            |rejection: QueryRejection| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.body_text()),
        )
    }
}
