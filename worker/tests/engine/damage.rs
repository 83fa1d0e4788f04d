//! Damage is the result of a verification, not an error of it.

use std::{fs, os::unix::fs::FileExt, path::Path};

use worker::engine::parent::EngineError;
use worker::engine::protocol::{Level, VerifyResult};

use crate::fixture::{Place, permanent};

fn flip_a_byte(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
}

/// Content that does not compress away.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let next = std::iter::from_fn(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(state.to_be_bytes()[1])
    });
    next.take(size).collect()
}

#[track_caller]
fn assert_failed(verified: &VerifyResult) {
    assert!(!verified.passed, "{verified:?}");
    assert!(verified.differences.count > 0 && !verified.differences.first.is_empty());
}

#[tokio::test]
async fn a_flipped_byte_in_a_pack_fails_reading_and_restoring() {
    let (place, repository) = Place::ready().await;
    place.write("source/noise", &noise(1, 300_000));
    let saved = place.backup(place.backup_request(&repository)).await.unwrap();
    flip_a_byte(&place.packs("repository")[0]);

    let structure = place.verify(&repository, &saved.snapshot, Level::Structure).await.unwrap();
    assert!(structure.passed, "nothing is missing: {structure:?}");
    assert_failed(&place.verify(&repository, &saved.snapshot, Level::Read).await.unwrap());
    assert_failed(&place.verify(&repository, &saved.snapshot, place.rehearsal()).await.unwrap());
    assert_eq!(fs::read_dir(place.path("scratch")).unwrap().count(), 0);
    let message = permanent(place.restore(&repository, &saved.snapshot, "restored").await);
    assert!(message.contains("the snapshot is damaged in"), "{message}");
}

#[tokio::test]
async fn a_missing_or_short_pack_fails_every_level() {
    let (place, repository) = Place::ready().await;
    place.write("source/noise", &noise(2, 300_000));
    let saved = place.backup(place.backup_request(&repository)).await.unwrap();
    let pack = &place.packs("repository")[0];
    let levels = || [Level::Structure, Level::Read, place.rehearsal()];
    fs::File::options().write(true).open(pack).unwrap().set_len(1000).unwrap();
    for level in levels() {
        assert_failed(&place.verify(&repository, &saved.snapshot, level).await.unwrap());
    }
    fs::remove_file(pack).unwrap();
    for level in levels() {
        assert_failed(&place.verify(&repository, &saved.snapshot, level).await.unwrap());
    }
}

#[tokio::test]
async fn a_damaged_index_or_snapshot_file_fails_too() {
    let (place, repository) = Place::ready().await;
    let saved = place.backup(place.backup_request(&repository)).await.unwrap();
    let levels = || [Level::Structure, Level::Read, place.rehearsal()];

    let [index] = &crate::fixture::files_below(&place.path("repository/index"))[..] else { panic!() };
    let healthy = fs::read(index).unwrap();
    flip_a_byte(index);
    for level in levels() {
        assert_failed(&place.verify(&repository, &saved.snapshot, level).await.unwrap());
    }
    fs::write(index, healthy).unwrap();

    let snapshot = place.path("repository/snapshots").join(&saved.snapshot);
    flip_a_byte(&snapshot);
    for level in levels() {
        assert_failed(&place.verify(&repository, &saved.snapshot, level).await.unwrap());
    }
    assert_eq!(place.list(&repository).await.unwrap().unreadable.count, 1);
    fs::remove_file(snapshot).unwrap();
    assert_failed(&place.verify(&repository, &saved.snapshot, Level::Structure).await.unwrap());
    assert_eq!(place.list(&repository).await.unwrap().unreadable.count, 0);
}

#[tokio::test]
async fn damage_to_another_snapshot_does_not_count() {
    let (place, repository) = Place::ready().await;
    place.write("source/noise", &noise(3, 300_000));
    let damaged = place.backup(place.backup_request(&repository)).await.unwrap();
    let pack = place.packs("repository")[0].clone();
    place.write("source/noise", &noise(4, 200_000));
    let healthy = place.backup(place.backup_request(&repository)).await.unwrap();
    fs::remove_file(pack).unwrap();
    assert_failed(&place.verify(&repository, &damaged.snapshot, Level::Structure).await.unwrap());
    // The small files of the source are in the pack that is gone as well, so take them out.
    fs::remove_file(place.path("source/a")).unwrap();
    fs::remove_dir_all(place.path("source/folder")).unwrap();
    let other = place.backup(place.backup_request(&repository)).await.unwrap();
    assert_failed(&place.verify(&repository, &healthy.snapshot, Level::Structure).await.unwrap());
    for level in [Level::Structure, Level::Read, place.rehearsal()] {
        let verified = place.verify(&repository, &other.snapshot, level).await.unwrap();
        assert!(verified.passed, "{verified:?}");
    }
}

#[tokio::test]
async fn a_restore_that_differs_from_the_manifest_fails() {
    let (place, repository) = Place::ready().await;
    let first = place.backup(place.backup_request(&repository)).await.unwrap();
    place.write("source/a", b"ALPHA");
    fs::remove_file(place.path("source/folder/b")).unwrap();
    place.write("source/c", b"");
    place.backup(place.backup_request(&repository)).await.unwrap();
    let verified = place.verify(&repository, &first.snapshot, place.rehearsal()).await.unwrap();
    assert_failed(&verified);
    let found = verified.differences.first.join("; ");
    assert!(found.contains("/source/a: has another content"), "{found}");
    assert!(found.contains("/source/c: is missing"), "{found}");
}

#[tokio::test]
async fn what_is_no_fault_of_the_copy_is_an_error_and_no_verdict() {
    let (place, repository) = Place::ready().await;
    let saved = place.backup(place.backup_request(&repository)).await.unwrap();
    let no_manifest = Level::Restore { manifest: place.path("absent"), scratch: place.path("scratch") };
    let message = permanent(place.verify(&repository, &saved.snapshot, no_manifest).await);
    assert!(message.contains("cannot read the manifest"), "{message}");
    let no_scratch = Level::Restore { manifest: place.path("manifest"), scratch: place.path("absent") };
    let error = place.verify(&repository, &saved.snapshot, no_scratch).await.unwrap_err();
    assert!(matches!(&error, EngineError::Process(why) if why.contains("scratch directory")), "{error:?}");
}
