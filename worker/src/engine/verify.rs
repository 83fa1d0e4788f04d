//! Verifying one snapshot.
//!
//! What counts as the answer "it is damaged" and what as "it could not be asked": missing, short or wrong data that
//! the snapshot needs, and restored files that differ from the manifest, are findings. A repository that is gone,
//! locked by a wrong password or unreachable, also in the middle of it, is an error.

use std::{path::Path, time::Instant};

use super::{
    check::check,
    compare::compare,
    failure,
    manifest::Reader,
    output::{Bars, phase},
    protocol::{Failure, Level, Named, Verify, VerifyResult},
    repository::{self, Cache, Indexed, Opened},
    restore::restore,
    scratch::Scratch,
};
use rustic_core::repofile::SnapshotFile;

/// Verifies the snapshot.
///
/// # Errors
///
/// See [`repository::open`]; permanent: the manifest cannot be read; transient: the repository or the scratch space
/// failed in between.
pub fn run(request: &Verify) -> Result<VerifyResult, Failure> {
    let started = Instant::now();
    let opened = repository::open(&request.repository, Cache::Bypass, Bars::default())?;
    let found = repository::snapshot(&opened, &request.snapshot)?;
    let Opened { rustic, id, shown, traffic } = opened;
    phase("index");
    let found = match found {
        Ok(snapshot) => repository::index(rustic, &shown)?.map(|rustic| (rustic, snapshot)),
        Err(why) => Err(why),
    };
    let findings = match found {
        Ok((rustic, snapshot)) => examine(&rustic, &snapshot, &request.level)?,
        Err(why) => {
            let mut findings = Findings::default();
            findings.differences.push(why);
            findings
        }
    };
    if findings.differences.count > 0 {
        still_there(request)?;
    }
    Ok(VerifyResult {
        passed: findings.differences.count == 0,
        repository_id: id,
        files: findings.files,
        bytes: findings.bytes,
        hashed_files: findings.hashed_files,
        bytes_read: traffic.read(),
        differences: findings.differences,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Findings {
    /// Regular files that were verified.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files whose hash was compared.
    pub hashed_files: u64,
    /// What is wrong.
    pub differences: Named,
}

fn examine(rustic: &Indexed, snapshot: &SnapshotFile, level: &Level) -> Result<Findings, Failure> {
    phase(match level {
        Level::Structure => "check",
        Level::Read => "read",
        Level::Restore { .. } => "restore",
    });
    match level {
        Level::Structure => Ok(summed_up(snapshot, check(rustic, snapshot, false)?)),
        Level::Read => Ok(summed_up(snapshot, check(rustic, snapshot, true)?)),
        Level::Restore { manifest, scratch } => rehearse(rustic, snapshot, manifest, scratch),
    }
}

fn summed_up(snapshot: &SnapshotFile, differences: Named) -> Findings {
    let summary = snapshot.summary.as_ref();
    Findings {
        files: summary.map_or(0, |summary| summary.total_files_processed),
        bytes: summary.map_or(0, |summary| summary.total_bytes_processed),
        hashed_files: 0,
        differences,
    }
}

/// Restores into a fresh directory, compares, and removes the directory.
fn rehearse(
    rustic: &Indexed,
    snapshot: &SnapshotFile,
    manifest: &Path,
    scratch: &Path,
) -> Result<Findings, Failure> {
    let manifest_fails = |error: std::io::Error| {
        failure::permanent(&format!("cannot read the manifest {}", manifest.display()), &error)
    };
    let manifest = Reader::open(manifest).map_err(manifest_fails)?;
    let scratch_fails = |error: std::io::Error| {
        failure::transient(&format!("cannot use the scratch directory {}", scratch.display()), &error)
    };
    let directory = Scratch::inside(scratch).map_err(scratch_fails)?;
    let findings = match restore(rustic, snapshot, directory.path()) {
        Ok(_) => {
            phase("compare");
            compare(manifest, directory.path())?
        }
        Err(trouble) => {
            // A damaged pack, a full scratch directory and a lost connection all look alike from here.
            let differences = check(rustic, snapshot, true)?;
            if differences.count == 0 {
                return Err(Failure::transient(format!("the restore test failed: {trouble}")));
            }
            summed_up(snapshot, differences)
        }
    };
    directory.remove().map_err(scratch_fails)?;
    Ok(findings)
}

/// Makes sure that the repository can still be opened: a disk that went away looks like one that lost all its packs.
fn still_there(request: &Verify) -> Result<(), Failure> {
    repository::open(&request.repository, Cache::Bypass, Bars::default()).map(drop).map_err(|failure| {
        Failure::transient(format!("the repository went away during the verification: {}", failure.message))
    })
}
