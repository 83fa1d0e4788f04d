//! How programs end: one rule for all commands.

use std::process::ExitCode;

use crate::db;
use crate::settings::Invalid;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Done = 0,
    /// It failed, or what was asked about is not well.
    Failed = 1,
    /// The command line, the configuration or a file is wrong; nothing was changed.
    BadInput = 2,
    /// It was not done in time.
    TimedOut = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What the user gave is wrong; for errors that pass through [`anyhow`].
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

impl Exit {
    /// What an error means for the exit code: bad input is what [`BadInput`], the configuration and the URL of a server say.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let bad = error.chain().any(|cause| {
            cause.is::<BadInput>()
                || cause.is::<Invalid>()
                || matches!(cause.downcast_ref(), Some(db::Error::Url(_)))
        });
        if bad { Self::BadInput } else { Self::Failed }
    }
}
