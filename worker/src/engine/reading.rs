//! Reading one file of the source for the engine, and noticing what was read.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::{
    manifest::Hash,
    recorder::{Listed, Recorder},
};

/// The state of a file that tells whether it was modified.
pub type Stamp = (u64, i64, i64);

/// Opens a regular file, and nothing that took its place since it was listed: no symbolic link is followed, no pipe
/// waited for.
///
/// # Errors
///
/// Whatever opening gives; `NotFound` if it is no regular file any more.
pub fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "it is no regular file any more"))
    }
}

/// The state of an open file.
#[must_use]
pub fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// The hash of a file that the backup did not need to read, or `None` if it is not as it was listed any more.
#[must_use]
pub fn hash_unchanged(path: &Path, listed: Stamp, covered: u64) -> Option<Hash> {
    let (file, before) = open_regular(path).ok()?;
    let (sha256, bytes) = hash_start(&file, covered).ok()?;
    let after = file.metadata().ok()?;
    (stamp(&before) == listed && stamp(&after) == listed).then_some(Hash { bytes, sha256 })
}

/// The SHA-256 of a file's first bytes, and how many there were.
///
/// # Errors
///
/// Whatever reading gives.
pub fn hash_start(file: &File, most: u64) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut file = file.take(most);
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hex::encode(hash.finalize()), bytes)),
            size => {
                hash.update(&buffer[..size]);
                bytes += size as u64;
            }
        }
    }
}

/// A file being read by the engine.
pub struct Reading {
    file: File,
    path: PathBuf,
    listed: Listed,
    recorder: Arc<Recorder>,
    read: u64,
    hash: Option<Sha256>,
    ended: bool,
}

impl Reading {
    /// Opens a file of the source.
    ///
    /// # Errors
    ///
    /// See [`open_regular`].
    pub fn open(path: &Path, listed: Listed, recorder: Arc<Recorder>) -> io::Result<Self> {
        let (file, _) = open_regular(path)?;
        let hash = listed.hashed.map(|_| Sha256::new());
        Ok(Self { file, path: path.to_owned(), listed, recorder, read: 0, hash, ended: false })
    }

    /// How many more bytes may be read. A file that grows meanwhile is saved in the size it was listed with, which is
    /// the size its snapshot entry says. One that is listed as empty may be a device's or kernel's file without a
    /// size, and is read to its end.
    fn left(&self) -> u64 {
        match self.listed.stamp.0 {
            0 => u64::MAX,
            size => size - self.read,
        }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(buffer.len());
        let size = self.file.read(&mut buffer[..most]).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.recorder.lost(Some(self.listed.entry), &self.path, &error.to_string());
            }
        })?;
        if let (Some(hash), Some(covered)) = (&mut self.hash, self.listed.hashed) {
            let covered = usize::try_from(covered.saturating_sub(self.read)).unwrap_or(usize::MAX);
            hash.update(&buffer[..size.min(covered)]);
        }
        self.read += size as u64;
        self.ended |= size == 0 && !buffer.is_empty();
        Ok(size)
    }
}

/// The engine drops the reader after the last byte, which is when it is known what was read.
impl Drop for Reading {
    fn drop(&mut self) {
        if !self.ended {
            return;
        }
        let same = self.file.metadata().is_ok_and(|metadata| stamp(&metadata) == self.listed.stamp);
        let changed = !same || self.read != self.listed.stamp.0;
        let hash = self.hash.take().zip(self.listed.hashed).map(|(hash, covered)| Hash {
            bytes: covered.min(self.read),
            sha256: hex::encode(hash.finalize()),
        });
        self.recorder.read(&self.listed, self.read, hash, changed);
    }
}
