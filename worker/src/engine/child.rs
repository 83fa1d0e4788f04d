//! The child's `main`: reads the request, runs the operation, prints what came out.

use std::process::ExitCode;

/// Runs the one operation that standard input asks for.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
