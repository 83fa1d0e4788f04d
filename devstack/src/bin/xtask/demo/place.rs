//! The directory of a demo.

use std::{
    fs::{self, Permissions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Where a demo keeps everything of its own.
pub(super) struct Place {
    directory: PathBuf,
}

/// Holds what was backed up, copied and restored; gone after a run that went well.
const DATA: [&str; 6] = ["source", "repositories", "taken-away", "restored", "scratch", "password"];
/// What a run tells about itself; it stays until the next one.
const TOLD: [&str; 5] = ["definitions.yaml", "report.html", "producer.log", "worker.log", "reporter.log"];

impl Place {
    /// A directory that was claimed.
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Something in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Removes what an earlier run left, and makes the directories and the repositories' password.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        self.remove_data()?;
        for name in TOLD {
            remove(&self.path(name))?;
        }
        for name in ["repositories", "restored", "scratch"] {
            fs::create_dir(self.path(name))?;
        }
        self.write_password()
    }

    /// Removes what was backed up, copied and restored.
    pub(super) fn remove_data(&self) -> anyhow::Result<()> {
        DATA.iter().try_for_each(|name| remove(&self.path(name)))
    }

    fn write_password(&self) -> anyhow::Result<()> {
        let mut bytes = [0; 16];
        fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes))?;
        let path = self.path("password");
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        writeln!(file, "{:032x}", u128::from_ne_bytes(bytes))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => remove_directory(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A restored directory may be one that even its owner must not write to.
fn remove_directory(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

fn open_up(directory: &Path) -> std::io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
