//! What operations refuse, as answers.

use axum::http::StatusCode;
use shared::http::Problem;

use crate::operations::Refused;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Missing(why) => Self::new(StatusCode::NOT_FOUND, why),
            Refused::Conflict(why) => Self::new(StatusCode::CONFLICT, why),
            Refused::Invalid { field, why } => Self::field(StatusCode::UNPROCESSABLE_ENTITY, field, why),
            Refused::Database(error) => error.into(),
        }
    }
}
