//! Backups of real files, by Holdfast and by others: the same data, the same options, the same state of the caches.

mod alone;
mod data;
mod definitions;
mod restic;

pub(crate) use alone::Alone;
pub(crate) use data::{Content, Data, Shape};
pub(crate) use definitions::Definitions;
pub(crate) use restic::Restic;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::ensure;

/// What opens the repositories of a run: a password that protects nothing.
pub(crate) fn password_file(directory: &Path) -> anyhow::Result<PathBuf> {
    let path = directory.join("password");
    std::fs::write(&path, "loadtest\n")?;
    Ok(path)
}

/// Runs a program to its end; returns the seconds from its start to its end, as a person would wait.
fn timed(command: &mut Command) -> anyhow::Result<f64> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let seconds = started.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    Ok(seconds)
}
