//! The `restic` command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::timed;

/// Restic with one password.
#[derive(Debug)]
pub(crate) struct Restic {
    password_file: PathBuf,
    /// As it tells it.
    pub(crate) version: String,
}

/// What restoring a snapshot would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Size {
    /// Entries of the snapshot, directories too.
    #[serde(rename = "total_file_count")]
    pub(crate) entries: u64,
    /// Bytes of its files.
    #[serde(rename = "total_size")]
    pub(crate) bytes: u64,
}

impl Restic {
    /// Finds it.
    pub(crate) fn new(password_file: PathBuf) -> anyhow::Result<Self> {
        let output = Command::new("restic").arg("version").output();
        let output = output.context("running restic: install it (Debian's package is called restic)")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.split(" compiled").next().unwrap_or_default().trim().to_owned();
        ensure!(
            output.status.success() && !version.is_empty(),
            "`restic version` ended with {}",
            output.status
        );
        Ok(Self { password_file, version })
    }

    /// Creates a repository of the same version as `rustic_core` does.
    pub(crate) fn init(&self, repository: &Path) -> anyhow::Result<()> {
        timed(self.command(repository).args(["init", "--repository-version", "2"])).map(|_| ())
    }

    /// Backs up a directory; returns the seconds.
    pub(crate) fn backup(&self, repository: &Path, path: &Path) -> anyhow::Result<f64> {
        timed(self.command(repository).arg("backup").arg(path))
    }

    /// What the newest snapshot of a directory would restore, in any repository of the format.
    pub(crate) fn size_of_latest(&self, repository: &Path, path: &Path) -> anyhow::Result<Size> {
        let mut command = self.command(repository);
        command.args(["stats", "--json", "--mode", "restore-size", "latest", "--path"]).arg(path);
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
        serde_json::from_slice(&output.stdout).context("reading what `restic stats` said")
    }

    /// Without its cache: neither `rustic_core` nor Holdfast has one for a repository on this machine's own disk.
    fn command(&self, repository: &Path) -> Command {
        let mut command = Command::new("restic");
        command.arg("--no-cache").arg("--repo").arg(repository);
        command.env("RESTIC_PASSWORD_FILE", &self.password_file).env_remove("RESTIC_COMPRESSION");
        command
    }
}
