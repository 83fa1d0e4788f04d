//! Removing snapshots of a job. Their data stays until a prune.

use std::collections::BTreeSet;
use std::error::Error;

use rustic_core::repofile::SnapshotId;

use super::{
    failure::{self, chain},
    list::{job_tag, stream},
    output::{Bars, phase},
    protocol::{Failure, Forget, ForgetResult},
    repository::{self, Cache, Opened, hex},
    warnings,
};

/// Removes those of the snapshots that are there.
///
/// # Errors
///
/// See [`repository::open`]. Permanent, with nothing removed: the repository is append-only, a snapshot is another job's, or
/// there are some that cannot be read, so that nobody knows whose they are.
pub fn run(request: &Forget) -> Result<ForgetResult, Failure> {
    // Only the snapshots themselves are read, which must be there, not in a cache of ours.
    let opened = repository::open(&request.repository, Cache::Bypass, Bars::default())?;
    require_deletion(&opened)?;
    phase("find");
    let found = find(&opened, request)?;
    phase("remove");
    opened
        .rustic
        .delete_snapshots(&found)
        .map_err(|error| removing(&format!("cannot remove snapshots from {}", opened.shown), &*error))?;
    Ok(ForgetResult { removed: found.len() as u64 })
}

fn find(opened: &Opened, request: &Forget) -> Result<Vec<SnapshotId>, Failure> {
    let (tag, wanted) = (job_tag(&request.job), request.snapshots.iter().collect::<BTreeSet<_>>());
    let mut found = Vec::new();
    for snapshot in stream(opened)? {
        let snapshot = snapshot.map_err(|error| {
            failure::reading(&format!("cannot read all snapshots of {}", opened.shown), &*error)
        })?;
        let id = hex(*snapshot.id);
        if !wanted.contains(&id) {
            continue;
        }
        if !snapshot.tags.contains(&tag) {
            return Err(Failure::permanent(format!(
                "the snapshot {id} of {} is none of the job {}: nothing was removed",
                opened.shown, request.job
            )));
        }
        found.push(snapshot.id);
    }
    if warnings::listing_was_incomplete() {
        return Err(Failure::transient(format!("the snapshots of {} cannot all be listed", opened.shown)));
    }
    Ok(found)
}

/// Refuses a repository that is configured to refuse deletions, before any is tried.
pub(super) fn require_deletion(opened: &Opened) -> Result<(), Failure> {
    if opened.rustic.config().append_only == Some(true) {
        return Err(Failure::permanent(format!(
            "the repository at {} is append-only: it cannot forget anything",
            opened.shown
        )));
    }
    Ok(())
}

/// A failure to remove something. A server that serves its repository append-only forbids it.
pub(super) fn removing(doing: &str, error: &(dyn Error + 'static)) -> Failure {
    if chain(error).contains("(403 ") {
        return failure::permanent(
            &format!("{doing}: the server forbids it, as an append-only one does"),
            error,
        );
    }
    failure::reading(doing, error)
}
