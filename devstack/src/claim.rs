//! The right to use a directory: one stack at a time.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// An existing directory that nobody else uses for a stack as long as this value lives.
///
/// The lock belongs to the open file, so a killed owner leaves none behind.
#[derive(Debug)]
pub struct Claim {
    directory: PathBuf,
    _lock: File,
}

impl Claim {
    /// Claims `directory`, which is created if need be; `None` when another stack runs there.
    pub fn try_new(directory: &Path) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let directory = directory.canonicalize()?;
        let path = directory.join("lock");
        let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { directory, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Claims the first of `parent/NAME-1`, `parent/NAME-2` .. that is not in use, and tells its number.
    pub fn first_free(parent: &Path, name: &str) -> anyhow::Result<(Self, u32)> {
        // More stacks than this fill the memory of any developer's machine.
        for number in 1..=64 {
            if let Some(claim) = Self::try_new(&parent.join(format!("{name}-{number}")))? {
                return Ok((claim, number));
            }
        }
        bail!("all 64 directories {}/{name}-* are in use", parent.display());
    }

    /// The claimed directory, an absolute path without symbolic links.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
