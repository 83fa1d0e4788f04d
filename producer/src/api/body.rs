//! What comes in: JSON bodies, each refused with the field that is wrong.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use shared::http::Problem;

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
