//! What a backup saw: filled while the engine walks and reads, in several threads.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use rustic_core::{
    jiff::Timestamp,
    repofile::{Node, NodeType},
};

use super::{
    manifest::{Entry, EntryKind, Hash, Writer},
    output::{Files, emit},
    paths::encode,
    protocol::{Event, Failure, ManifestSummary, Named},
    reading::Stamp,
    sample::Sample,
    watchdog,
};

/// Set-user-id, set-group-id and sticky as the repository format has them (Go's `fs.FileMode`), and as `st_mode` does.
const SPECIAL_BITS: [(u32, u32); 3] = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];

/// Records a backup's view of its source.
pub struct Recorder {
    /// Files for the progress events.
    pub files: Arc<Files>,
    state: Mutex<State>,
}

struct State {
    listing: Writer,
    next: u64,
    sample: Sample,
    seen: Seen,
}

/// What was seen, apart from the listing.
#[derive(Default)]
pub struct Seen {
    /// What was read of files where that is more to know than their size: about 150 bytes each, so 150 MB when a
    /// million files are all to be hashed, and next to nothing for a sample.
    pub read: HashMap<u64, Stored>,
    /// Entries that are in the listing and cannot be in the snapshot, already counted.
    pub lost: HashSet<u64>,
    /// What exists and could not be saved.
    pub errors: Named,
    /// Entries that vanished.
    pub vanished: u64,
    /// Files that changed while being read.
    pub changed: u64,
}

/// What went into the snapshot of a file that was read.
pub struct Stored {
    /// Its bytes.
    pub bytes: u64,
    /// Their hash, if the file was in the sample at that time.
    pub hash: Option<Hash>,
}

/// A listed entry.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// Its number in the listing.
    pub entry: u64,
    /// Its state when it was listed.
    pub stamp: Stamp,
    /// How many bytes its hash shall cover, if it shall have one.
    pub hashed: Option<u64>,
}

impl Recorder {
    /// A recorder that writes its listing here.
    pub fn new(listing: Writer, sample: Sample, files: Arc<Files>) -> Self {
        let state = State { listing, next: 0, sample, seen: Seen::default() };
        Self { files, state: Mutex::new(state) }
    }

    /// Ends the recording: the listing is complete on disk.
    pub fn finish(self) -> io::Result<(Seen, Sample, ManifestSummary)> {
        let State { listing, sample, seen, .. } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((seen, sample, listing.finish()?))
    }

    /// Lists an entry that the walk came across.
    ///
    /// If the listing cannot be written, the operation fails right here, by ending the process: the engine offers no
    /// way to stop it, and going on would save a snapshot that nothing can be compared with.
    pub fn walked(&self, path: &Path, node: &Node) -> Listed {
        let listed = describe(path, node);
        let mut state = self.lock();
        let entry = state.next;
        state.next += 1;
        let mut hashed = None;
        if listed.kind == EntryKind::File && state.sample.offer(entry, &listed.path, listed.size) {
            hashed = Some(state.sample.covered(listed.size));
        }
        let (seconds, nanoseconds) = listed.mtime.unwrap_or_default();
        let stamp = (listed.size, seconds, i64::from(nanoseconds));
        if listed.kind != EntryKind::Dir {
            self.files.done.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(error) = state.listing.entry(listed) {
            emit(&Event::Failed(Failure::transient(format!("cannot write the manifest: {error}"))));
            watchdog::die();
        }
        Listed { entry, stamp, hashed }
    }

    /// Notes what was read of a file.
    pub fn read(&self, listed: &Listed, bytes: u64, hash: Option<Hash>, changed: bool) {
        let mut state = self.lock();
        state.seen.changed += u64::from(changed);
        if hash.is_some() || bytes != listed.stamp.0 {
            state.seen.read.insert(listed.entry, Stored { bytes, hash });
        }
    }

    /// Notes an entry that cannot be saved; `entry` is its number if it is in the listing.
    pub fn lost(&self, entry: Option<u64>, path: &Path, why: &str) {
        let mut state = self.lock();
        state.seen.lost.extend(entry);
        state.seen.missed(path, why);
    }

    /// Notes something that the walk could not see: mostly a directory without permission.
    pub fn unwalkable(&self, error: &ignore::Error) {
        let why = error.io_error().map_or_else(|| error.to_string(), io::Error::to_string);
        match path_of(error) {
            Some(path) => self.lost(None, path, &why),
            None => self.lock().seen.errors.push(why),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Counts something that is not in the snapshot: as an error if it exists, otherwise as vanished.
    pub fn missed(&mut self, path: &Path, why: &str) {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.vanished += 1,
            _ => self.errors.push(format!("{}: {why}", encode(path))),
        }
    }
}

/// The manifest's view of an entry, without its hash.
pub fn describe(path: &Path, node: &Node) -> Entry {
    let kind = match node.node_type {
        NodeType::File => EntryKind::File,
        NodeType::Dir => EntryKind::Dir,
        NodeType::Symlink { .. } => EntryKind::Symlink,
        NodeType::Fifo => EntryKind::Fifo,
        NodeType::Socket => EntryKind::Socket,
        NodeType::Dev { .. } | NodeType::Chardev { .. } => EntryKind::Device,
    };
    let symlink = kind == EntryKind::Symlink;
    let linked = kind == EntryKind::File && node.meta.links > 1;
    Entry {
        path: encode(path),
        kind,
        size: if kind == EntryKind::File { node.meta.size } else { 0 },
        mtime: node.meta.mtime.map(seconds_and_nanoseconds),
        // Symbolic links have no permissions of their own.
        mode: node.meta.mode.filter(|_| !symlink).map(permissions),
        target: symlink.then(|| encode(node.node_type.to_link())),
        link: linked.then(|| format!("{:x}-{:x}", node.meta.device_id, node.meta.inode)),
        hash: None,
    }
}

/// Splits a time as `stat` does: the nanoseconds count forward, also before 1970.
fn seconds_and_nanoseconds(time: Timestamp) -> (i64, u32) {
    let (seconds, nanoseconds) = (time.as_second(), time.subsec_nanosecond());
    match u32::try_from(nanoseconds) {
        Ok(nanoseconds) => (seconds, nanoseconds),
        Err(_) => (seconds - 1, (nanoseconds + 1_000_000_000).unsigned_abs()),
    }
}

fn permissions(mode: u32) -> u32 {
    SPECIAL_BITS
        .iter()
        .fold(mode & 0o777, |bits, &(go, unix)| if mode & go == 0 { bits } else { bits | unix })
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        ignore::Error::Loop { child, .. } => Some(child),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_split_as_stat_splits_them() {
        let time = Timestamp::new(-1, -250_000_000).unwrap();
        assert_eq!(seconds_and_nanoseconds(time), (-2, 750_000_000));
        assert_eq!(seconds_and_nanoseconds(Timestamp::new(5, 7).unwrap()), (5, 7));
    }

    #[test]
    fn special_permission_bits_are_translated() {
        assert_eq!(permissions((1 << 31) | (1 << 20) | 0o777), 0o1777);
        assert_eq!(permissions((1 << 23) | 0o755), 0o4755);
    }
}
