//! Listing the snapshots of a job: the presence probe.

use rustic_core::repofile::SnapshotFile;

use super::{
    failure::{self, Cause, cause, chain},
    output::{Bars, emit, phase},
    protocol::{Event, Failure, List, ListResult, Named, Snapshot},
    repository::{self, Cache, Opened, data_time, hex},
    warnings,
};

/// The tag that all our snapshots have.
pub const TAG: &str = "holdfast";

/// How many snapshots travel in one event: at about 400 bytes each well below the limit of a line.
const CHUNK: usize = 500;

/// The tag of a job's snapshots.
#[must_use]
pub fn job_tag(job: &str) -> String {
    format!("job:{job}")
}

/// Lists the job's snapshots, oldest first. They are printed as [`Event::Listed`]; the result itself names none.
///
/// # Errors
///
/// If the repository is gone (permanent) or could not be reached or listed in full (transient): an answer means that
/// what it does not name is not there.
pub fn run(request: &List) -> Result<ListResult, Failure> {
    // The snapshots themselves must be there, not in a cache of ours.
    let opened = repository::open(&request.repository, Cache::Bypass, Bars::default())?;
    phase("list");
    let tag = job_tag(&request.job);
    let mut snapshots = Vec::new();
    let mut unreadable = Named::default();
    for snapshot in stream(&opened)? {
        match snapshot {
            Ok(snapshot) if snapshot.tags.contains(&tag) => snapshots.push(snapshot),
            Ok(_) => {}
            Err(error) if cause(&*error) == Cause::Damage => unreadable.push(chain(&*error)),
            Err(error) => return Err(failure::transient("cannot read a snapshot", &*error)),
        }
    }
    if warnings::listing_was_incomplete() {
        return Err(Failure::transient(format!("the snapshots of {} cannot all be listed", opened.shown)));
    }
    snapshots.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.id.cmp(&b.id)));
    for chunk in snapshots.chunks(CHUNK) {
        emit(&Event::Listed { snapshots: chunk.iter().map(describe).collect() });
    }
    Ok(ListResult { repository_id: opened.id, snapshots: Vec::new(), unreadable })
}

/// All snapshots of a repository, each as readable as it is.
pub(super) fn stream(
    opened: &Opened,
) -> Result<impl Iterator<Item = rustic_core::RusticResult<SnapshotFile>> + use<'_>, Failure> {
    let files = opened.rustic.stream_files::<SnapshotFile>().map_err(|error| {
        failure::transient(&format!("cannot list the snapshots of {}", opened.shown), &*error)
    })?;
    Ok(files.map(|file| {
        file.map(|(id, mut snapshot)| {
            snapshot.id = id;
            snapshot
        })
    }))
}

fn describe(snapshot: &SnapshotFile) -> Snapshot {
    let tagged =
        |prefix: &str| snapshot.tags.iter().find_map(|tag| tag.strip_prefix(prefix)).map(str::to_owned);
    let summary = snapshot.summary.as_ref();
    Snapshot {
        id: hex(*snapshot.id),
        original: hex(*snapshot.original.unwrap_or(snapshot.id)),
        data_time: data_time(snapshot),
        task: tagged("task:"),
        epoch: tagged("epoch:").and_then(|epoch| epoch.parse().ok()),
        host: snapshot.hostname.clone(),
        files: summary.map(|summary| summary.total_files_processed),
        bytes: summary.map(|summary| summary.total_bytes_processed),
    }
}
