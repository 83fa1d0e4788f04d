//! Comparing a restored tree with the manifest of its backup.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::{
    failure,
    manifest::{Entry, EntryKind, Reader, decoded},
    paths::encode,
    protocol::Failure,
    reading::{hash_start, open_regular},
    verify::Findings,
};

/// Compares each entry of the manifest with what was restored: presence, type, size, modification time, permissions,
/// link target, hard links, and the content's hash where the manifest has one.
///
/// Not compared: devices unless this process may make them, and with a single source path the permissions and time
/// of the source directory itself, whose content was restored into another one.
///
/// # Errors
///
/// Permanent: the manifest is damaged. Transient: the restored files cannot be read.
pub fn compare(mut manifest: Reader, restored: &Path) -> Result<Findings, Failure> {
    let bad = |error: io::Error| failure::permanent("cannot read the manifest", &error);
    let mut comparison = Comparison {
        place: Place::new(&manifest.roots().map_err(bad)?, restored),
        links: HashMap::new(),
        findings: Findings::default(),
    };
    while let Some(entry) = manifest.next_entry().map_err(bad)? {
        let path = decoded(&entry.path).map_err(bad)?;
        comparison.entry(&entry, &path).map_err(|error| {
            failure::transient(&format!("cannot read the restored {}", entry.path), &error)
        })?;
    }
    Ok(comparison.findings)
}

/// Where source paths are found after the restore.
struct Place {
    restored: PathBuf,
    /// What is cut off: the single source path, if its content was restored right here.
    cut: PathBuf,
    /// Whether the source's own directory is the restored one, with its own permissions and times.
    root: Option<PathBuf>,
}

impl Place {
    fn new(roots: &[PathBuf], restored: &Path) -> Self {
        let restored = restored.to_owned();
        let everything = || PathBuf::from("/");
        match roots {
            // A single file is restored by its name.
            [root]
                if fs::symlink_metadata(restored.join(root.file_name().unwrap_or_default()))
                    .is_ok_and(|at| at.is_file()) =>
            {
                Self { restored, cut: root.parent().map_or_else(everything, Path::to_path_buf), root: None }
            }
            [root] => Self { restored, cut: root.clone(), root: Some(root.clone()) },
            _ => Self { restored, cut: everything(), root: None },
        }
    }

    fn of(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.cut) {
            Ok(relative) => self.restored.join(relative),
            Err(_) => self.restored.join(path.strip_prefix("/").unwrap_or(path)),
        }
    }
}

struct Comparison {
    place: Place,
    /// Hard-link group to the inode it was restored as.
    links: HashMap<String, u64>,
    findings: Findings,
}

impl Comparison {
    fn entry(&mut self, entry: &Entry, path: &Path) -> io::Result<()> {
        let at = self.place.of(path);
        let metadata = match fs::symlink_metadata(&at) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if entry.kind != EntryKind::Device || geteuid().is_root() {
                    self.differs(entry, "is missing");
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let kind = kind_of(&metadata);
        if kind != entry.kind {
            self.differs(entry, &format!("is a {kind:?} instead of a {:?}", entry.kind));
            return Ok(());
        }
        if self.place.root.as_deref() != Some(path) {
            self.metadata(entry, &metadata);
        }
        match entry.kind {
            EntryKind::File => self.file(entry, &at, &metadata),
            EntryKind::Symlink => self.target(entry, &at),
            _ => Ok(()),
        }
    }

    fn metadata(&mut self, entry: &Entry, metadata: &Metadata) {
        let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
        let mtime = (metadata.mtime(), nanoseconds);
        if entry.mtime.is_some_and(|expected| expected != mtime) {
            self.differs(entry, &format!("has another modification time: {mtime:?}"));
        }
        let mode = metadata.mode() & 0o7777;
        if entry.mode.is_some_and(|expected| expected != mode) {
            self.differs(entry, &format!("has other permissions: {mode:o}"));
        }
    }

    fn file(&mut self, entry: &Entry, at: &Path, metadata: &Metadata) -> io::Result<()> {
        self.findings.files += 1;
        self.findings.bytes += metadata.len();
        if metadata.len() != entry.size {
            self.differs(entry, &format!("has {} bytes instead of {}", metadata.len(), entry.size));
            return Ok(());
        }
        if let Some(group) = &entry.link {
            let inode = *self.links.entry(group.clone()).or_insert(metadata.ino());
            if inode != metadata.ino() {
                self.differs(entry, "is no hard link to its siblings any more");
            }
        }
        if let Some(hash) = &entry.hash {
            let (file, _) = open_regular(at)?;
            let (sha256, bytes) = hash_start(&file, hash.bytes)?;
            self.findings.hashed_files += 1;
            if (&sha256, bytes) != (&hash.sha256, hash.bytes) {
                self.differs(entry, "has another content");
            }
        }
        Ok(())
    }

    fn target(&mut self, entry: &Entry, at: &Path) -> io::Result<()> {
        let target = encode(&fs::read_link(at)?);
        if entry.target.as_ref() != Some(&target) {
            self.differs(entry, &format!("points to {target}"));
        }
        Ok(())
    }

    fn differs(&mut self, entry: &Entry, how: &str) {
        self.findings.differences.push(format!("{}: {how}", entry.path));
    }
}

fn kind_of(metadata: &Metadata) -> EntryKind {
    let kind = metadata.file_type();
    if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Dir
    } else if kind.is_symlink() {
        EntryKind::Symlink
    } else if kind.is_fifo() {
        EntryKind::Fifo
    } else if kind.is_socket() {
        EntryKind::Socket
    } else {
        EntryKind::Device
    }
}
