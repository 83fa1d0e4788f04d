//! The files of a directory.

use std::path::{Path, PathBuf};

/// All files below a directory; none where it is missing.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(_) => found.push(entry.path()),
                // It vanished meanwhile, as temporary files do.
                Err(_) => {}
            }
        }
    }
    found
}
