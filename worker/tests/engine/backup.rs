//! What goes in comes out again.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use worker::engine::{
    clock::BootInstant,
    manifest::{Entry, Reader},
    parent::Engine,
    paths::encode,
    protocol::{Hashes, Level, Operation, OperationResult},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fixture::{PATIENCE, PROGRAM, Place, permanent};

/// Large enough to be caught in the middle.
const SIZE: u64 = 256 * 1024 * 1024;

/// A source with everything that is hard to keep.
fn fill(source: &Path) {
    for folder in ["folder with space/inner", "empty folder", "order/a", "order/a.b", "order/a-b"] {
        fs::create_dir_all(source.join(folder)).unwrap();
        fs::write(source.join(folder).join("file"), folder).unwrap();
    }
    fs::remove_file(source.join("empty folder/file")).unwrap();
    for name in [&b"new\nline"[..], b"not \xff\xfe utf-8", b"per%20cent", "ünï\"cödé\\".as_bytes()] {
        fs::write(source.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::write(source.join("empty"), "").unwrap();
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(20 * 1024 * 1024).unwrap();
    sparse.sync_all().unwrap();
    symlink("empty", source.join("link")).unwrap();
    symlink("/does/not/exist", source.join("dangling")).unwrap();
    symlink(OsStr::from_bytes(b"not \xff utf-8"), source.join("odd link")).unwrap();
    fs::write(source.join("one name"), "hard linked").unwrap();
    fs::hard_link(source.join("one name"), source.join("folder with space/other name")).unwrap();
    fs::set_permissions(source.join("empty"), Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(source.join("order/a"), Permissions::from_mode(0o1750)).unwrap();
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
    fs::File::open(source.join("empty")).unwrap().set_modified(before_1970).unwrap();
    fs::File::open(source.join("empty folder")).unwrap().set_modified(before_1970).unwrap();
}

/// Everything below a directory that a restore has to bring back.
fn picture(directory: &Path, below: &Path, into: &mut Vec<String>) {
    let mut entries: Vec<_> =
        fs::read_dir(directory.join(below)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    entries.sort();
    for name in entries {
        let path = below.join(name);
        let metadata = fs::symlink_metadata(directory.join(&path)).unwrap();
        let content = if metadata.is_file() { fs::read(directory.join(&path)).unwrap() } else { Vec::new() };
        let target = fs::read_link(directory.join(&path)).unwrap_or_default();
        into.push(format!(
            "{} {:o} {}.{} {} links, {} bytes, sum {}, to {}",
            encode(&path),
            metadata.mode(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            if metadata.is_dir() { 0 } else { metadata.nlink() },
            content.len(),
            content.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
            encode(&target),
        ));
        if metadata.is_dir() {
            picture(directory, &path, into);
        }
    }
}

fn pictured(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    picture(directory, Path::new(""), &mut lines);
    lines
}

fn entries(manifest: &Path) -> Vec<Entry> {
    let mut reader = Reader::open(manifest).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
}

#[tokio::test]
async fn a_snapshot_is_listed_verified_copied_and_restored() {
    let place = Place::new();
    fill(&place.path("source"));
    let (first, second) = (place.init("first").await, place.init("second").await);
    let mut request = place.backup_request(&first);
    request.hashes = Hashes::All;
    let saved = place.backup(request).await.unwrap();
    assert_eq!((saved.source_errors.count, saved.vanished, saved.changed), (0, 0, 0));
    assert_eq!(saved.files, 12);
    assert_eq!((saved.manifest.files, saved.manifest.hashed_files), (saved.files, saved.files));
    assert_eq!(saved.manifest.hashed_bytes, saved.bytes);

    let listed = place.list(&first).await.unwrap();
    assert_eq!(listed.unreadable.count, 0);
    let [snapshot] = &listed.snapshots[..] else { panic!("{listed:?}") };
    assert_eq!((&snapshot.id, &snapshot.data_time), (&saved.snapshot, &saved.data_time));
    assert_eq!((snapshot.task.as_deref(), snapshot.epoch), (Some("0193-task"), Some(3)));

    let copied = place.copy(&first, &second, &saved.snapshot).await.unwrap();
    assert_eq!((copied.files, copied.bytes, &copied.data_time), (saved.files, saved.bytes, &saved.data_time));
    let listed = place.list(&second).await.unwrap();
    assert_eq!(listed.snapshots[0].original, saved.snapshot);

    for level in [Level::Structure, Level::Read, place.rehearsal()] {
        let verified = place.verify(&second, &copied.snapshot, level.clone()).await.unwrap();
        assert!(verified.passed, "{level:?}: {verified:?}");
        assert!(verified.bytes_read > 0);
        let hashed = if matches!(level, Level::Restore { .. }) { saved.files } else { 0 };
        assert_eq!(verified.hashed_files, hashed);
    }
    assert_eq!(fs::read_dir(place.path("scratch")).unwrap().count(), 0);

    place.restore(&second, &copied.snapshot, "restored").await.unwrap();
    assert_eq!(pictured(&place.path("restored")), pictured(&place.path("source")));
    let sparse = fs::metadata(place.path("restored/sparse")).unwrap();
    assert!(sparse.blocks() * 512 < sparse.len() / 2, "{} blocks", sparse.blocks());
}

#[tokio::test]
async fn the_next_backup_of_a_job_reads_only_what_changed() {
    let (place, repository) = Place::ready().await;
    let first = place.backup(place.backup_request(&repository)).await.unwrap();
    assert_eq!(first.parent, None);

    place.write("elsewhere/c", b"gamma");
    let mut request = place.backup_request(&repository);
    request.paths.push(place.path("elsewhere"));
    let mut expected: Vec<_> = entries(&place.path("manifest"));
    let second = place.backup(request).await.unwrap();
    assert_eq!(second.parent.as_deref(), Some(&*first.snapshot));
    assert!(second.bytes_added > 0);

    // Files that were not read again have their hashes all the same.
    let hashes = |entries: &[Entry]| -> Vec<_> {
        entries.iter().filter_map(|entry| Some((entry.path.clone(), entry.hash.clone()?))).collect()
    };
    expected.retain(|entry| entry.path.contains("/source/"));
    let mut found = entries(&place.path("manifest"));
    assert!(found.iter().any(|entry| entry.path.ends_with("/elsewhere/c")));
    found.retain(|entry| entry.path.contains("/source/"));
    assert_eq!(hashes(&found), hashes(&expected));
    assert_eq!(hashes(&found).len(), 2);
}

#[tokio::test]
async fn several_source_paths_are_restored_with_their_full_paths_and_a_single_file_by_its_name() {
    let (place, repository) = Place::ready().await;
    place.write("other/c", b"gamma");
    let mut request = place.backup_request(&repository);
    request.paths = vec![place.path("other/c"), place.path("source"), place.path("source/folder")];
    let saved = place.backup(request).await.unwrap();
    assert!(place.verify(&repository, &saved.snapshot, place.rehearsal()).await.unwrap().passed);
    place.restore(&repository, &saved.snapshot, "restored").await.unwrap();
    let inside = |path: PathBuf| place.path("restored").join(path.strip_prefix("/").unwrap());
    assert_eq!(fs::read(inside(place.path("source/folder/b"))).unwrap(), b"beta");
    assert_eq!(fs::read(inside(place.path("other/c"))).unwrap(), b"gamma");

    let mut request = place.backup_request(&repository);
    request.paths = vec![place.path("other/c")];
    let saved = place.backup(request).await.unwrap();
    assert!(place.verify(&repository, &saved.snapshot, place.rehearsal()).await.unwrap().passed);
    place.restore(&repository, &saved.snapshot, "alone").await.unwrap();
    assert_eq!(fs::read(place.path("alone/c")).unwrap(), b"gamma");
}

#[tokio::test]
async fn what_is_excluded_is_neither_saved_nor_missed() {
    let (place, repository) = Place::ready().await;
    for name in ["x.tmp", "cache/y", "deep/er/down/z", "kept/z"] {
        place.write(&format!("source/{name}"), b"");
    }
    let mut request = place.backup_request(&repository);
    let absolute = place.path("source/cache").to_str().unwrap().to_owned();
    request.exclude = vec!["*.tmp".to_owned(), absolute, "er/down".to_owned()];
    let saved = place.backup(request).await.unwrap();
    assert_eq!(saved.source_errors.count, 0);
    let names: Vec<_> = entries(&place.path("manifest"))
        .iter()
        .map(|entry| entry.path.split_once("/source").unwrap().1.to_owned())
        .collect();
    assert_eq!(names, ["", "/a", "/deep", "/deep/er", "/folder", "/folder/b", "/kept", "/kept/z"]);
}

#[tokio::test]
async fn a_snapshot_is_copied_only_once() {
    let (place, first) = Place::ready().await;
    let second = place.init("second").await;
    let saved = place.backup(place.backup_request(&first)).await.unwrap();
    let once = place.copy(&first, &second, &saved.snapshot).await.unwrap();
    let twice = place.copy(&first, &second, &saved.snapshot).await.unwrap();
    assert_eq!((once.already_there, twice.already_there), (false, true));
    assert_eq!((&once.snapshot, twice.bytes_added), (&twice.snapshot, 0));
    assert_eq!(place.snapshots("second"), 1);

    let third = place.init("third").await;
    let of_copy = place.copy(&second, &third, &twice.snapshot).await.unwrap();
    let again = place.copy(&first, &third, &saved.snapshot).await.unwrap();
    assert!(again.already_there, "a copy of a copy is a copy of the first");
    assert_eq!(of_copy.snapshot, again.snapshot);

    let refused = permanent(place.copy(&first, &first, &saved.snapshot).await);
    assert!(refused.contains("are the same repository"), "{refused}");
}

#[tokio::test]
async fn unreadable_files_and_directories_are_named() {
    let (mut place, repository) = Place::ready().await;
    place.write("source/locked file", b"");
    place.write("source/locked folder/inside", b"");
    for name in ["source/locked file", "source/locked folder"] {
        fs::set_permissions(place.path(name), Permissions::from_mode(0o000)).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        // Root reads everything, unless it gives up the right to.
        let without = "-dac_override,-dac_read_search";
        let args = [&format!("--bounding-set={without}"), &format!("--inh-caps={without}"), PROGRAM, "exec"];
        place.engine = Engine::with_args("setpriv", args);
    }
    let completed = place.run(Operation::Backup(place.backup_request(&repository))).await.unwrap();
    let OperationResult::Backup(saved) = completed.result else { panic!("{completed:?}") };
    assert_eq!(saved.source_errors.count, 2);
    for name in ["locked file", "locked folder"] {
        let start = format!("{}: ", place.path("source").join(name).display());
        let named = |error: &&String| error.starts_with(&start) && error.contains("Permission denied");
        assert_eq!(saved.source_errors.first.iter().filter(named).count(), 1, "{saved:?}");
    }
    assert!(completed.warnings.count > 0);
    assert_eq!((saved.files, saved.vanished), (2, 0));
    let verified = place.verify(&repository, &saved.snapshot, place.rehearsal()).await.unwrap();
    assert!(verified.passed, "{verified:?}");
}

#[tokio::test]
async fn files_that_change_or_vanish_meanwhile_are_counted() {
    let (place, repository) = Place::ready().await;
    let large: Vec<_> = (0..4).map(|file| format!("source/0 large {file}")).collect();
    for name in &large {
        place.write_sparse(name, SIZE);
    }
    place.write("source/vanishing", b"short");
    let (_lease, lease) = watch::channel(BootInstant::from_now(PATIENCE));
    let mut touched = false;
    let completed = place
        .engine
        .run(
            Operation::Backup(place.backup_request(&repository)),
            lease,
            CancellationToken::new(),
            |progress| {
                // The engine is in the middle of a large file, and has not come to the small one.
                if progress.bytes_done > 0 && !touched {
                    touched = true;
                    fs::remove_file(place.path("source/vanishing")).unwrap();
                    for name in &large {
                        place.write_sparse(name, SIZE + 1);
                    }
                }
            },
        )
        .await
        .unwrap();
    let OperationResult::Backup(saved) = completed.result else { panic!("{completed:?}") };
    assert!(saved.changed > 0, "{saved:?}");
    assert_eq!((saved.vanished, saved.source_errors.count), (1, 0), "{saved:?}");
    assert!(!entries(&place.path("manifest")).iter().any(|entry| entry.path.ends_with("/vanishing")));
    let verified = place.verify(&repository, &saved.snapshot, place.rehearsal()).await.unwrap();
    assert!(verified.passed, "{verified:?}");
}
