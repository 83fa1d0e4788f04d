//! Words to the person at the terminal.

use std::process::ExitCode;

use devstack::progress::emphasised;

/// Announces a step, as cargo does with its own.
pub(crate) fn step(verb: &str, subject: &str) {
    eprintln!("{} {subject}", emphasised(&format!("{verb:>12}")));
}

/// Says what went wrong, with its causes; the exit code is 1.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
