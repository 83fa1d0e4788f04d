//! Comparing what was restored with its source, entry by entry.
//!
//! Compared: names byte by byte, types, contents, sizes, permissions, modification times to the nanosecond, the
//! targets of symbolic links, and which files are hard links of each other. Not compared: owners, groups,
//! extended attributes and access control lists, which only a privileged user can restore; and the two
//! directories themselves, since a restore puts the content of one into the other.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;

use super::tree::{self, Entry, Kind, Tree};

/// How many differences are told; all are counted.
const TOLD: usize = 20;

/// What came of a comparison.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Entries of the source.
    pub(super) entries: u64,
    /// Regular files that were restored.
    pub(super) files: u64,
    /// The sum of their sizes.
    pub(super) bytes: u64,
    /// How many differences there are; one entry may have several.
    pub(super) differences: u64,
    /// The first of them.
    pub(super) first: Vec<String>,
}

/// Compares two directories; `read` counts the bytes as they are compared.
pub(super) fn compare(source: &Path, restored: &Path, read: &AtomicU64) -> anyhow::Result<Comparison> {
    let (here, there) = (tree::read(source)?, tree::read(restored)?);
    let (files, bytes) = tree::size(&there);
    let mut comparison = Comparison { entries: here.len() as u64, files, bytes, ..Comparison::default() };
    for (path, expected) in &here {
        match there.get(path) {
            None => comparison.add(path, "is missing"),
            Some(found) => {
                for difference in differences(expected, found) {
                    comparison.add(path, &difference);
                }
                if expected.kind == Kind::File && found.kind == Kind::File && expected.size == found.size {
                    let same = same_content(&source.join(path), &restored.join(path), read);
                    if !same.with_context(|| format!("cannot compare {}", path.display()))? {
                        comparison.add(path, "has another content");
                    }
                }
            }
        }
    }
    comparison.add_surplus(&here, &there);
    Ok(comparison)
}

impl Comparison {
    #[expect(
        clippy::unnecessary_debug_formatting,
        reason = "names may hold line breaks and bytes that are no text"
    )]
    fn add(&mut self, path: &Path, what: &str) {
        self.differences += 1;
        if self.first.len() < TOLD {
            self.first.push(format!("{path:?} {what}"));
        }
    }

    fn add_surplus(&mut self, here: &Tree, there: &Tree) {
        for path in there.keys().filter(|path| !here.contains_key(*path)) {
            self.add(path, "is not in the source");
        }
    }
}

/// All that differs without looking into files.
fn differences(expected: &Entry, found: &Entry) -> Vec<String> {
    if expected.kind != found.kind {
        return vec![format!("is a {:?} instead of a {:?}", found.kind, expected.kind)];
    }
    let mut differences = Vec::new();
    if expected.kind == Kind::File && expected.size != found.size {
        differences.push(format!("has {} bytes instead of {}", found.size, expected.size));
    }
    if expected.mode != found.mode {
        differences.push(format!("has the permissions {:04o} instead of {:04o}", found.mode, expected.mode));
    }
    if expected.modified != found.modified {
        differences.push(format!("was modified at {:?} instead of {:?}", found.modified, expected.modified));
    }
    if expected.points_to != found.points_to {
        differences.push(format!("points to {:?} instead of {:?}", found.points_to, expected.points_to));
    }
    if expected.same_as != found.same_as {
        differences.push(format!("is a hard link of {:?} instead of {:?}", found.same_as, expected.same_as));
    }
    differences
}

fn same_content(one: &Path, other: &Path, read: &AtomicU64) -> io::Result<bool> {
    const CHUNK: usize = 1 << 17;
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    loop {
        left.clear();
        right.clear();
        (&mut one).take(CHUNK as u64).read_to_end(&mut left)?;
        (&mut other).take(CHUNK as u64).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
        read.fetch_add(left.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
