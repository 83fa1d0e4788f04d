//! Restoring a snapshot into a directory.
//!
//! What comes back: content, names, types, permissions, modification times (of directories too), symbolic links, hard
//! links among the snapshot's own files, extended attributes, pipes and sockets. Runs of zeros become holes, whether
//! or not they were holes in the source. Ownership and devices come back only with the rights to set them (a warning
//! says if not). What does not: access and change times, inode flags, and the permissions, times and owner of the
//! source directory itself when its content is restored right into another one.
//!
//! The `restic` program restores our snapshots too, with full paths below its target. It leaves out sockets, and before
//! its version 0.15 it gets the target of a symbolic link wrong if that is no UTF-8.

use std::{
    any::Any,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Instant,
};

use rustic_core::{
    LocalDestination, LsOptions, RestoreOptions, RusticError, RusticResult, repofile::SnapshotFile,
};

use super::{
    check::check,
    failure::{self, chain},
    output::{Bars, phase},
    protocol::{Failure, Restore, RestoreResult},
    repository::{self, Cache, Indexed, Opened},
};

/// Restores the snapshot.
///
/// # Errors
///
/// Permanent: there is something at the destination, the snapshot is missing or damaged; see also
/// [`repository::open`]. After an error the destination holds what was restored until then.
pub fn run(request: &Restore) -> Result<RestoreResult, Failure> {
    let started = Instant::now();
    require_empty(&request.into)?;
    let opened = repository::open(&request.repository, Cache::Bypass, Bars::default())?;
    let snapshot = repository::snapshot(&opened, &request.snapshot)?.map_err(Failure::permanent)?;
    let Opened { rustic, shown, .. } = opened;
    phase("index");
    let rustic = repository::index(rustic, &shown)?.map_err(Failure::permanent)?;
    phase("restore");
    let restored = restore(&rustic, &snapshot, &request.into).map_err(|trouble| {
        let message = format!("cannot restore from {shown}: {trouble}");
        // The engine does not say whether the repository is at fault, so ask the repository.
        match check(&rustic, &snapshot, true) {
            Ok(findings) if findings.count > 0 => Failure::permanent(format!(
                "{message}; the snapshot is damaged in {} places, first: {}",
                findings.count,
                findings.first.first().map_or("", String::as_str)
            )),
            Ok(_) => Failure::transient(message),
            Err(failure) => failure,
        }
    })?;
    Ok(RestoreResult {
        files: restored.files,
        bytes: restored.bytes,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// What was restored.
pub struct Restored {
    /// Regular files.
    pub files: u64,
    /// Their size in bytes, hard links counted once.
    pub bytes: u64,
}

/// Restores a snapshot into a directory, which is created if it does not exist.
///
/// If the snapshot has one source path, the content of that directory, or that file, is put right into the directory;
/// otherwise the full source paths appear below it.
///
/// # Errors
///
/// What the engine says, or the message of its panic: it panics on damaged packs and on a full disk alike.
pub fn restore(rustic: &Indexed, snapshot: &SnapshotFile, into: &Path) -> Result<Restored, String> {
    catch_unwind(AssertUnwindSafe(|| unpack(rustic, snapshot, into)))
        .map_err(|panic| panic_message(&*panic))?
        .map_err(|error| chain(&*error))
}

fn unpack(rustic: &Indexed, snapshot: &SnapshotFile, into: &Path) -> RusticResult<Restored> {
    let root = rustic.node_from_snapshot_and_path(snapshot, single_root(snapshot).unwrap_or_default())?;
    let nodes = rustic.ls(&root, &LsOptions::default())?;
    let target = into.to_str().ok_or_else(|| {
        RusticError::new(rustic_core::ErrorKind::InvalidInput, "the destination's path is no UTF-8")
    })?;
    let destination = LocalDestination::new(target, true, false)?;
    let mut options = RestoreOptions::default();
    // The option's type has no public name. Without it, a sparse source would fill the disk.
    options.sparse = serde_json::from_str("\"ByContent\"").ok();
    let plan = rustic.prepare_restore(&options, nodes.clone(), &destination, false)?;
    let restored = Restored { files: plan.stats.files.restore, bytes: plan.restore_size };
    rustic.restore(plan, &options, nodes, &destination)?;
    Ok(restored)
}

/// The source path of a snapshot that has just one.
#[must_use]
pub fn single_root(snapshot: &SnapshotFile) -> Option<&str> {
    let mut paths = snapshot.paths.iter();
    paths.next().filter(|_| paths.next().is_none()).map(String::as_str)
}

/// The text of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "the engine panicked".to_owned())
        .replace('\n', " ")
}

fn require_empty(into: &Path) -> Result<(), Failure> {
    let refuse =
        |why: &str| Err(Failure::permanent(format!("cannot restore into {}: {why}", into.display())));
    if !into.is_absolute() {
        return refuse("the path is not absolute");
    }
    match fs::read_dir(into).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refuse("the directory is not empty"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if into.parent().is_some_and(Path::is_dir) {
                Ok(())
            } else {
                refuse("its parent directory does not exist")
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => refuse("it is no directory"),
        Err(error) => Err(failure::transient(&format!("cannot list {}", into.display()), &error)),
    }
}
