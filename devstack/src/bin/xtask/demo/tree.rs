//! A directory's entries, as they can be compared.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Everything below a directory, by its path relative to that.
pub(super) type Tree = BTreeMap<PathBuf, Entry>;

/// What is compared of an entry without opening it.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// The permission bits with set-user-id, set-group-id and sticky.
    pub(super) mode: u32,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    /// Where a symbolic link points.
    pub(super) points_to: Option<PathBuf>,
    /// The first other path in this tree that is the same file.
    pub(super) same_as: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    Pipe,
    Socket,
    /// With the number of its driver.
    Device(u64),
}

/// Reads what is below `root`; the directory itself is no part of it.
pub(super) fn read(root: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    let mut seen = HashMap::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for name in names(&root.join(&directory))? {
            let path = directory.join(name);
            let at = root.join(&path);
            let entry = entry(&at).with_context(|| format!("cannot look at {}", at.display()))?;
            if entry.0.kind == Kind::Directory {
                directories.push(path.clone());
            }
            if entry.0.kind == Kind::File && entry.1.nlink() > 1 {
                seen.entry((entry.1.dev(), entry.1.ino())).or_insert_with(Vec::new).push(path.clone());
            }
            tree.insert(path, entry.0);
        }
    }
    join_links(&mut tree, seen.into_values());
    Ok(tree)
}

/// The number of regular files and the sum of their sizes.
pub(super) fn size(tree: &Tree) -> (u64, u64) {
    let files = tree.values().filter(|entry| entry.kind == Kind::File);
    files.fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.size))
}

fn names(directory: &Path) -> anyhow::Result<Vec<std::ffi::OsString>> {
    let list = || fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect();
    let names: std::io::Result<_> = list();
    names.with_context(|| format!("cannot list {}", directory.display()))
}

fn entry(at: &Path) -> std::io::Result<(Entry, Metadata)> {
    let metadata = fs::symlink_metadata(at)?;
    let kind = kind(&metadata);
    let points_to = (kind == Kind::Symlink).then(|| fs::read_link(at)).transpose()?;
    let entry = Entry {
        kind,
        size: metadata.size(),
        mode: metadata.mode() & 0o7777,
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        points_to,
        same_as: None,
    };
    Ok((entry, metadata))
}

fn kind(metadata: &Metadata) -> Kind {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => Kind::File,
        () if kind.is_dir() => Kind::Directory,
        () if kind.is_symlink() => Kind::Symlink,
        () if kind.is_fifo() => Kind::Pipe,
        () if kind.is_socket() => Kind::Socket,
        () => Kind::Device(metadata.rdev()),
    }
}

/// Points each path of a file with several to the first of them.
fn join_links(tree: &mut Tree, files: impl Iterator<Item = Vec<PathBuf>>) {
    for mut paths in files {
        paths.sort();
        for path in &paths[1..] {
            if let Some(entry) = tree.get_mut(path) {
                entry.same_as = Some(paths[0].clone());
            }
        }
    }
}
