//! Copying one snapshot from one repository into another.

use rustic_core::{LsOptions, repofile::SnapshotFile};

use super::{
    failure,
    list::stream,
    output::{Bars, phase},
    protocol::{Copy, CopyResult, Failure},
    repository::{self, Cache, Opened, data_time, hex},
};

/// Copies the snapshot, unless the destination holds it already.
///
/// # Errors
///
/// Permanent if the source does not hold the snapshot or is damaged; see [`repository::open`] for both ends.
pub fn run(request: &Copy) -> Result<CopyResult, Failure> {
    let from = repository::open(&request.from, Cache::Use, Bars::default())?;
    let to = repository::open(&request.to, Cache::Use, Bars::default())?;
    if from.id == to.id {
        return Err(Failure::permanent(format!(
            "{} and {} are the same repository: that would be no copy",
            from.shown, to.shown
        )));
    }
    let snapshot = repository::snapshot(&from, &request.snapshot)?.map_err(Failure::permanent)?;

    phase("compare");
    let (repository_id, traffic) = (to.id.clone(), to.traffic.clone());
    let already = find(&to, &snapshot)?;
    let already_there = already.is_some();
    let (copied, files, bytes) = match already {
        Some(copied) => {
            let summary = snapshot.summary.as_ref();
            let files = summary.map_or(0, |summary| summary.total_files_processed);
            (copied, files, summary.map_or(0, |summary| summary.total_bytes_processed))
        }
        None => transfer(from, to, &snapshot)?,
    };
    Ok(CopyResult {
        snapshot: hex(*copied.id),
        repository_id,
        data_time: data_time(&copied),
        already_there,
        files,
        bytes,
        bytes_added: traffic.written(),
    })
}

/// The copy of a snapshot in a repository. A copy remembers the id of its first ancestor as its `original`.
fn find(opened: &Opened, snapshot: &SnapshotFile) -> Result<Option<SnapshotFile>, Failure> {
    let original = snapshot.original.unwrap_or(snapshot.id);
    for candidate in stream(opened)? {
        // An unreadable snapshot of somebody else must not stop this one; it is the verification's business.
        let Ok(candidate) = candidate else { continue };
        if candidate.tree == snapshot.tree && candidate.original.unwrap_or(candidate.id) == original {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Copies what is missing; returns the copy, its files and their bytes.
fn transfer(from: Opened, to: Opened, snapshot: &SnapshotFile) -> Result<(SnapshotFile, u64, u64), Failure> {
    phase("index");
    let reading = format!("cannot read {}", from.shown);
    let source = from.rustic.to_indexed().map_err(|error| failure::reading(&reading, &*error))?;

    // The engine silently leaves out what the source's index lacks, so first make sure that it lacks nothing.
    let (mut files, mut bytes) = (0, 0);
    let root = source
        .node_from_snapshot_and_path(snapshot, "")
        .map_err(|error| failure::reading(&reading, &*error))?;
    let nodes =
        source.ls(&root, &LsOptions::default()).map_err(|error| failure::reading(&reading, &*error))?;
    for node in nodes {
        let (_, node) = node.map_err(|error| failure::reading(&reading, &*error))?;
        for blob in node.content.iter().flatten() {
            source.get_index_entry(blob).map_err(|error| failure::permanent(&reading, &*error))?;
        }
        if node.is_file() {
            files += 1;
            bytes += node.meta.size;
        }
    }

    let writing = format!("cannot copy to {}", to.shown);
    let Opened { rustic, id, shown, traffic } = to;
    let destination = rustic.to_indexed_ids().map_err(|error| failure::reading(&writing, &*error))?;
    phase("copy");
    source.copy(&destination, [snapshot]).map_err(|error| failure::reading(&writing, &*error))?;

    phase("confirm");
    let to = Opened { rustic: destination.drop_index(), id, shown, traffic };
    match find(&to, snapshot)? {
        Some(copied) => Ok((copied, files, bytes)),
        None => Err(Failure::transient(format!("{writing}: the snapshot is not there after all"))),
    }
}
