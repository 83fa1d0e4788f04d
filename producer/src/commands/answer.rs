//! How a command ends.

use shared::db;
pub use shared::exit::Exit;
use shared::settings::Invalid;

use crate::operations::Refused;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the user gave is wrong.
    #[error("{0}")]
    BadInput(String),
    /// Anything else.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl Failure {
    /// What the exit code says.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::BadInput(_) => Exit::BadInput,
            Self::Failed(_) => Exit::Failed,
        }
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::BadInput(invalid.to_string())
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Url(_) => Self::BadInput(error.to_string()),
            other => Self::Failed(anyhow::anyhow!("{other}")),
        }
    }
}

impl From<deadpool_postgres::tokio_postgres::Error> for Failure {
    fn from(error: deadpool_postgres::tokio_postgres::Error) -> Self {
        db::Error::from(error).into()
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Database(error) => error.into(),
            Refused::Missing(_) | Refused::Conflict(_) | Refused::Invalid { .. } => {
                Self::BadInput(refused.to_string())
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}
