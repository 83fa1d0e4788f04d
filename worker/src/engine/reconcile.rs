//! Comparing what a backup saw with what its snapshot holds, and writing the manifest of the latter.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustic_core::{RusticResult, repofile::Node};

use super::{
    failure,
    manifest::{Entry, EntryKind, Reader, Writer, decoded},
    protocol::{Failure, ManifestSummary},
    reading::hash_unchanged,
    recorder::{Seen, describe},
    sample::Sample,
};

/// Writes the entries of the listing that the snapshot holds, in the state in which it holds them, and counts the
/// others: as source errors if they exist, as vanished if they do not.
///
/// Both come in the same order, so neither has to fit into memory.
///
/// # Errors
///
/// Transient: the snapshot's trees cannot be read back, or the listing or the manifest fails.
pub fn reconcile(
    listing: &Path,
    mut seen: Seen,
    sample: &Sample,
    nodes: impl Iterator<Item = RusticResult<(PathBuf, Node)>>,
    mut manifest: Writer,
) -> Result<(Seen, ManifestSummary), Failure> {
    let file = |error: io::Error| failure::transient("cannot write the manifest", &error);
    let mut nodes = nodes.peekable();
    let mut listing = Reader::open(listing).map_err(file)?;
    let mut number = 0;
    while let Some(entry) = listing.next_entry().map_err(file)? {
        let path = decoded(&entry.path).map_err(file)?;
        let node = find(&mut nodes, &path)
            .transpose()
            .map_err(|error| failure::transient("cannot read the new snapshot back", &*error))?;
        match node {
            Some(node) => {
                let entry = settle(number, entry, &path, &node, &mut seen, sample);
                manifest.entry(entry).map_err(file)?;
            }
            None if seen.lost.contains(&number) => {}
            None => seen.missed(&path, "the engine left it out"),
        }
        number += 1;
    }
    let summary = manifest.finish().map_err(file)?;
    Ok((seen, summary))
}

/// Goes on to the node of this path. Nodes before it are directories above the source paths.
fn find(
    nodes: &mut std::iter::Peekable<impl Iterator<Item = RusticResult<(PathBuf, Node)>>>,
    path: &Path,
) -> Option<RusticResult<Node>> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    while let Some(next) = nodes.next_if(|node| !matches!(node, Ok((at, _)) if at.as_path() > relative)) {
        match next {
            Ok((at, node)) if at == relative => return Some(Ok(node)),
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
    }
    None
}

/// The entry as the snapshot holds it.
fn settle(
    number: u64,
    mut entry: Entry,
    path: &Path,
    node: &Node,
    seen: &mut Seen,
    sample: &Sample,
) -> Entry {
    let held = describe(path, node);
    if held != entry {
        seen.changed += 1;
        return held;
    }
    if entry.kind != EntryKind::File {
        return entry;
    }
    let wanted = sample.contains(&entry.path);
    if let Some(stored) = seen.read.remove(&number) {
        entry.size = stored.bytes;
        entry.hash = stored.hash.filter(|_| wanted);
    } else if wanted {
        let (seconds, nanoseconds) = entry.mtime.unwrap_or_default();
        let stamp = (entry.size, seconds, i64::from(nanoseconds));
        entry.hash = hash_unchanged(path, stamp, sample.covered(entry.size));
    }
    entry
}
