//! Ends before the end.

use std::process::ExitCode;

use crate::stopped::Stop;

/// Why the demo ended early.
pub(super) enum Early {
    /// The reason was told, or the person asked for it.
    Exit(ExitCode),
    /// Something went wrong.
    Failed(anyhow::Error),
}

impl Early {
    /// The command line cannot be done; nothing was started.
    pub(super) fn refused(error: impl Into<anyhow::Error>) -> Self {
        eprintln!("error: {:#}", error.into());
        Self::Exit(ExitCode::from(2))
    }
}

impl From<anyhow::Error> for Early {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Does one thing, unless asked to stop before it is done.
pub(super) async fn unless_stopped<T>(
    stop: &mut Stop,
    work: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, Early> {
    tokio::select! {
        biased;
        code = stop.asked() => Err(Early::Exit(code)),
        done = work => done.map_err(Early::Failed),
    }
}
