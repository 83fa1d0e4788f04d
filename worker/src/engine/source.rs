//! The walk over the source of a backup.
//!
//! The engine is fed by this walk instead of its own. Both are the same `ignore` walker; but here nothing gets lost:
//! `rustic_core` answers an unreadable file or directory with a line in its log and goes on, while this walk records
//! each entry, each failure and each byte that was read ([`super::recorder`]). It also passes the directories above
//! the source paths and the source directories themselves, which the engine's own walk replaces by nameless ones, so
//! that their permissions and times are kept.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use ignore::{
    DirEntry, Walk, WalkBuilder,
    overrides::{Override, OverrideBuilder},
};
use rustic_core::{
    ErrorKind, LocalSourceSaveOptions, ReadSource, ReadSourceEntry, ReadSourceOpen, RusticError, RusticResult,
};

use super::{
    failure,
    protocol::Failure,
    reading::Reading,
    recorder::{Listed, Recorder},
};

/// The files and directories of a backup.
pub struct Source {
    builder: WalkBuilder,
    roots: Vec<PathBuf>,
    recorder: Arc<Recorder>,
}

/// Resolves the source paths: no symbolic links, sorted, none inside another.
///
/// # Errors
///
/// Permanent, if a path is not absolute, does not exist or cannot be read at all: the engine would save nothing and
/// call it a success.
pub fn resolve(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut roots = Vec::new();
    for path in paths {
        if !path.is_absolute() {
            return Err(Failure::of_source(format!("the source path {} is not absolute", path.display())));
        }
        let root = fs::canonicalize(path).map_err(|error| unusable(path, &error))?;
        let readable =
            if root.is_dir() { fs::read_dir(&root).map(drop) } else { File::open(&root).map(drop) };
        readable.map_err(|error| unusable(path, &error))?;
        roots.push(root);
    }
    roots.sort();
    roots.dedup_by(|later, earlier| later.starts_with(&*earlier));
    if roots.is_empty() {
        return Err(Failure::of_source("the backup has no source path"));
    }
    Ok(roots)
}

/// Compiles exclude patterns: those of `.gitignore`, except that one without a leading slash matches at any depth
/// even if it has a slash inside, and one with a leading slash is an absolute path.
///
/// # Errors
///
/// Permanent, if one is no pattern, is empty or begins with `!`.
pub fn excludes(patterns: &[String]) -> Result<Override, Failure> {
    // The builder calls a pattern that leaves something out `!pattern`, the reverse of `.gitignore`.
    let mut builder = OverrideBuilder::new("");
    for pattern in patterns {
        let bad = |why: &str| Failure::of_source(format!("the exclude pattern {pattern:?} is bad: {why}"));
        if pattern.trim_matches('/').is_empty() || pattern.starts_with('!') {
            return Err(bad("it is empty or begins with '!'"));
        }
        let anywhere = if pattern.starts_with('/') { "" } else { "**/" };
        builder.add(&format!("!{anywhere}{pattern}")).map_err(|error| bad(&error.to_string()))?;
    }
    builder.build().map_err(|error| failure::permanent("the exclude patterns are bad", &error))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::of_source(format!("the source path {path} does not exist")),
        _ => Failure::of_source(format!("the source path {path} cannot be read: {}", failure::chain(error))),
    }
}

impl Source {
    /// A walk over resolved paths.
    #[must_use]
    pub fn new(roots: Vec<PathBuf>, exclude: Override, recorder: Arc<Recorder>) -> Self {
        let mut builder = WalkBuilder::empty();
        for root in &roots {
            builder.add(root);
        }
        builder.standard_filters(false).overrides(exclude).sort_by_file_path(Path::cmp);
        Self { builder, roots, recorder }
    }
}

impl ReadSource for Source {
    type Open = Unread;
    type Iter = Entries;

    fn size(&self) -> RusticResult<Option<u64>> {
        let (mut files, mut bytes) = (0, 0);
        // What cannot be seen is recorded by the walk that counts.
        for entry in self.builder.build().flatten() {
            if entry.file_type().is_some_and(|kind| !kind.is_dir()) {
                files += 1;
                bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            }
        }
        self.recorder.files.total.store(files, Ordering::Relaxed);
        Ok(Some(bytes))
    }

    fn entries(&self) -> Self::Iter {
        let mut ancestors = Vec::new();
        for root in &self.roots {
            let above = root.ancestors().skip(1).filter(|path| path.parent().is_some());
            ancestors.extend(above.map(Path::to_path_buf));
        }
        ancestors.sort();
        ancestors.dedup();
        Entries {
            ancestors: ancestors.into(),
            held: None,
            walk: self.builder.build(),
            recorder: Arc::clone(&self.recorder),
        }
    }
}

/// The walk itself.
pub struct Entries {
    /// Directories above the source paths that are still to be passed, in order.
    ancestors: VecDeque<PathBuf>,
    /// The entry that the ancestors before it hold up.
    held: Option<DirEntry>,
    walk: Walk,
    recorder: Arc<Recorder>,
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<Unread>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.held.take().or_else(|| self.walked())?;
            if let Some(ancestor) = self.ancestor_of(entry.path()) {
                self.held = Some(entry);
                if let Some(passed) = pass(&ancestor) {
                    return Some(Ok(passed));
                }
            } else if let Some(taken) = self.prepare(entry) {
                return Some(Ok(taken));
            }
        }
    }
}

impl Entries {
    /// The next entry that the walk could see.
    fn walked(&mut self) -> Option<DirEntry> {
        loop {
            match self.walk.next()? {
                // The root of the file system has no name in a snapshot.
                Ok(entry) if entry.path().parent().is_none() => {}
                Ok(entry) => return Some(entry),
                Err(error) => self.recorder.unwalkable(&error),
            }
        }
    }

    /// The next directory above `path` that has not been passed yet.
    fn ancestor_of(&mut self, path: &Path) -> Option<PathBuf> {
        while self.ancestors.front().is_some_and(|ancestor| ancestor.as_path() < path) {
            // One that is skipped belongs to a source path that vanished.
            let ancestor = self.ancestors.pop_front()?;
            if path.starts_with(&ancestor) {
                return Some(ancestor);
            }
        }
        None
    }

    /// Records an entry and prepares it for the engine; `None` if it cannot be read.
    fn prepare(&self, entry: DirEntry) -> Option<ReadSourceEntry<Unread>> {
        let path = entry.path().to_owned();
        match LocalSourceSaveOptions::default().map_entry(entry) {
            Ok(ReadSourceEntry { path, node, .. }) => {
                let listed = self.recorder.walked(&path, &node);
                let open = Unread { path: path.clone(), listed, recorder: Arc::clone(&self.recorder) };
                Some(ReadSourceEntry { path, node, open: Some(open) })
            }
            Err(error) => {
                self.recorder.lost(None, &path, &error.to_string());
                None
            }
        }
    }
}

/// A directory above a source path. It is only passed along: its own content is no part of the source.
fn pass(path: &Path) -> Option<ReadSourceEntry<Unread>> {
    let entry = WalkBuilder::new(path).standard_filters(false).max_depth(Some(0)).build().next()?.ok()?;
    let ReadSourceEntry { path, node, .. } = LocalSourceSaveOptions::default().map_entry(entry).ok()?;
    Some(ReadSourceEntry { path, node, open: None })
}

/// A file that the engine may open, if it finds that it has changed since the parent snapshot.
pub struct Unread {
    path: PathBuf,
    listed: Listed,
    recorder: Arc<Recorder>,
}

impl ReadSourceOpen for Unread {
    type Reader = Reading;

    fn open(self) -> RusticResult<Reading> {
        let Self { path, listed, recorder } = self;
        Reading::open(&path, listed, Arc::clone(&recorder)).map_err(|error| {
            recorder.lost(Some(listed.entry), &path, &error.to_string());
            RusticError::with_source(ErrorKind::InputOutput, "cannot open the file", error)
        })
    }
}
