//! Speeds: how fast a child may use a repository.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker::engine::{
    clock::BootInstant,
    parent::{Completed, EngineError},
    protocol::{Level, Operation, OperationResult, Repository, Speeds, Verify},
};

use crate::fixture::{PATIENCE, Place};

const MIB: u64 = 1 << 20;

/// Bytes that do not compress and have no duplicates.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise
}

async fn run_at(
    place: &Place,
    operation: Operation,
    speeds: watch::Receiver<Speeds>,
) -> Result<Completed, EngineError> {
    let (_lease, until) = watch::channel(BootInstant::from_now(2 * PATIENCE));
    place.engine.run_at(operation, speeds, until, CancellationToken::new(), |_| {}).await
}

fn speed(repository: &Repository, bytes_per_second: u64) -> Speeds {
    Speeds::from([(repository.location.clone(), bytes_per_second)])
}

#[tokio::test]
async fn a_backup_and_its_verification_are_no_faster_than_they_may_be() {
    let (place, repository) = Place::ready().await;
    place.write("source/noise", &noise(8 << 20));
    let (_, speeds) = watch::channel(speed(&repository, 4 * MIB));

    let started = Instant::now();
    let backup = Operation::Backup(place.backup_request(&repository));
    let completed = run_at(&place, backup, speeds.clone()).await.unwrap();
    let OperationResult::Backup(backup) = completed.result else { panic!("{completed:?}") };
    assert!(backup.bytes_added >= 8 * MIB, "{backup:?}");
    // Eight mebibytes at four a second.
    assert!(started.elapsed() >= Duration::from_millis(1990), "{:?}", started.elapsed());

    let started = Instant::now();
    let verify = Verify { repository, snapshot: backup.snapshot, level: Level::Read };
    run_at(&place, Operation::Verify(verify), speeds).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(1990), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_backup_that_is_under_way_becomes_faster_when_it_is_told_so() {
    let (place, repository) = Place::ready().await;
    place.write("source/noise", &noise(8 << 20));
    // It would take an hour.
    let (tell, speeds) = watch::channel(speed(&repository, 2048));
    let backup = Operation::Backup(place.backup_request(&repository));
    let running = run_at(&place, backup, speeds);
    tokio::pin!(running);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut running).await;
    assert!(early.is_err(), "{early:?}");
    tell.send_replace(Speeds::new());
    let completed = tokio::time::timeout(PATIENCE, running).await.expect("it stays slow").unwrap();
    assert!(matches!(completed.result, OperationResult::Backup(_)), "{completed:?}");
}
