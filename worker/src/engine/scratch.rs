//! A directory for a restore test, which is removed whatever became of the test.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::TempDir;

/// A fresh directory that is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    directory: Option<TempDir>,
}

impl Scratch {
    /// Makes a directory with a name of its own.
    ///
    /// # Errors
    ///
    /// Whatever creating gives.
    pub fn inside(parent: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("restore-test-").tempdir_in(parent)?;
        Ok(Self { directory: Some(directory) })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// Whatever removing gives.
    pub fn remove(mut self) -> io::Result<()> {
        self.directory.take().map_or(Ok(()), remove)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take() {
            // Nobody is left to tell.
            let _ = remove(directory);
        }
    }
}

fn remove(directory: TempDir) -> io::Result<()> {
    // Restored directories have the permissions of their originals, which may forbid to remove what is in them.
    let _ = open_up(directory.path());
    directory.close()
}

fn open_up(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
