//! What people and other systems change while everything runs, from the command line and over HTTP alike. Each operation leaves
//! rows of the audit in the transaction that makes the change.

pub(crate) mod alerts;
pub(crate) mod dead;
pub(crate) mod limits;
pub(crate) mod pools;
mod reports;
pub(crate) mod schedules;
pub(crate) mod targets;
pub(crate) mod tasks;
pub(crate) mod tokens;

pub(crate) use shared::db::audit::{Actor, Entry, record};

use shared::db;

/// Why an operation was not done; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// What it is about is not there.
    #[error("{0}")]
    Missing(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// What is asked for is wrong.
    #[error("{field}: {why}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl Refused {
    pub(crate) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), why: why.into() }
    }
}
