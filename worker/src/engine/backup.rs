//! Saving paths of this machine as a new snapshot.

use std::{fs, io, path::PathBuf, sync::Arc};

use rustic_core::{
    BackupOptions, IndexedIdsStatus, LsOptions, ParentOptions, Repository as Rustic, SnapshotGroupCriterion,
    SnapshotOptions, repofile::SnapshotFile,
};

use super::{
    failure,
    list::{TAG, job_tag},
    manifest::{Header, VERSION, Writer},
    output::{Bars, Files, phase},
    paths::encode,
    protocol::{Backup, BackupResult, Failure},
    reconcile::reconcile,
    recorder::Recorder,
    repository::{self, Cache, Opened, data_time, hex},
    sample::Sample,
    source::{self, Source},
};

/// Makes the snapshot and the manifest.
///
/// The snapshot exists before the manifest does. If this fails or is killed in between, a snapshot of the attempt may
/// stay behind; its tags say whose it is, and a retry finds its data already there.
///
/// # Errors
///
/// See [`repository::open`] and [`source::resolve`]; transient: anything that went wrong while reading or writing,
/// apart from single files of the source, which are part of the result.
pub fn run(request: &Backup) -> Result<BackupResult, Failure> {
    for (what, tag) in [("job", &request.job), ("task", &request.task)] {
        if tag.is_empty() || tag.contains(',') {
            return Err(Failure::permanent(format!("the {what} {tag:?} cannot be a tag")));
        }
    }
    let exclude = source::excludes(&request.exclude)?;
    let roots = source::resolve(&request.paths)?;
    let files = Arc::new(Files::default());
    let bars = Bars { files: Arc::clone(&files) };
    let opened = repository::open(&request.repository, Cache::Use, bars)?;

    let writing = |error: io::Error| failure::transient("cannot write the manifest", &error);
    let header = Header {
        version: VERSION,
        seed: request.task.clone(),
        roots: roots.iter().map(|root| encode(root)).collect(),
        exclude: request.exclude.clone(),
    };
    let listing_path = beside(request, "listing");
    let listing = Writer::create(&listing_path, header.clone()).map_err(writing)?;
    let sample = Sample::new(request.hashes, &request.task);
    let recorder = Arc::new(Recorder::new(listing, sample, files));

    let Opened { rustic, id, shown, traffic } = opened;
    let doing = format!("cannot back up to {shown}");
    phase("index");
    let rustic = rustic.to_indexed_ids().map_err(|error| failure::reading(&doing, &*error))?;
    phase("save");
    let walk = Source::new(roots.clone(), exclude, Arc::clone(&recorder));
    let snapshot =
        save(&rustic, request, &walk, &roots).map_err(|error| failure::transient(&doing, &*error))?;
    drop(walk);
    let bytes_added = traffic.written();

    let recorder = Arc::into_inner(recorder).ok_or_else(|| Failure::transient("the walk has not ended"))?;
    let (seen, sample, _) = recorder.finish().map_err(writing)?;
    phase("read back");
    // The index was read before the backup; the new trees are not in it.
    let reread = rustic.drop_index().to_indexed_ids().map_err(|error| failure::reading(&doing, &*error))?;
    let root = reread
        .node_from_snapshot_and_path(&snapshot, "")
        .map_err(|error| failure::reading(&doing, &*error))?;
    let nodes = reread.ls(&root, &LsOptions::default()).map_err(|error| failure::reading(&doing, &*error))?;
    phase("manifest");
    let finished_path = beside(request, "new");
    let finished = Writer::create(&finished_path, header).map_err(writing)?;
    let (seen, manifest) = reconcile(&listing_path, seen, &sample, nodes, finished)?;
    fs::rename(&finished_path, &request.manifest_out).map_err(writing)?;
    // Left over it would only take space, and the next attempt overwrites it.
    let _ = fs::remove_file(&listing_path);

    Ok(BackupResult {
        snapshot: hex(*snapshot.id),
        repository_id: id,
        data_time: data_time(&snapshot),
        files: manifest.files,
        bytes: manifest.bytes,
        bytes_added,
        parent: snapshot.parent.map(|parent| hex(*parent)),
        source_errors: seen.errors,
        vanished: seen.vanished,
        changed: seen.changed,
        manifest,
    })
}

/// A file next to the manifest, for the time until the manifest is complete.
fn beside(request: &Backup, suffix: &str) -> PathBuf {
    let mut name = request.manifest_out.clone().into_os_string();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Lets the engine walk, read and store.
///
/// The parent snapshot is the latest with the job's name as its label, wherever it was made and whichever paths it
/// holds: a worker that moved to another machine, or a job that got another path, does not read everything again.
fn save(
    rustic: &Rustic<IndexedIdsStatus>,
    request: &Backup,
    source: &Source,
    roots: &[PathBuf],
) -> rustic_core::RusticResult<SnapshotFile> {
    let options = BackupOptions::default()
        .parent_opts(ParentOptions::default().group_by(SnapshotGroupCriterion::new().label(true)));
    let tags = format!("{TAG},{},task:{},epoch:{}", job_tag(&request.job), request.task, request.epoch);
    let snapshot = SnapshotOptions::default()
        .label(request.job.clone())
        // The command line that the engine would store says nothing but "exec".
        .command("holdfast".to_owned())
        .add_tags(&tags)?
        .to_snapshot()?;
    rustic.archive(&options, source, snapshot, roots)
}
