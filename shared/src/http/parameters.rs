//! Parts of paths and queries, each refused with what is wrong with it.

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Parts of the path.
pub struct Path<T>(pub T);

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
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, state).await.map(|query| Self(query.0)).map_err(
            |rejection: QueryRejection| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.body_text()),
        )
    }
}
