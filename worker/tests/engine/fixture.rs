//! Directories, repositories and short ways to run operations on them.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker::engine::{
    clock::BootInstant,
    parent::{Completed, Engine, EngineError},
    protocol::{
        Backup, BackupResult, Copy, CopyResult, Hashes, InitResult, Level, List, ListResult, Operation,
        OperationResult, Progress, Repository, Restore, RestoreResult, Secret, Verify, VerifyResult,
    },
};

/// Far beyond what any operation here takes, so that only a stuck one is ended by it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_worker");

/// A directory with room for sources and repositories.
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) engine: Engine,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap(), engine: Engine::new(PROGRAM) };
        fs::create_dir(place.path("source")).unwrap();
        fs::create_dir(place.path("scratch")).unwrap();
        place
    }

    /// A place with a small source and a repository.
    pub(crate) async fn ready() -> (Self, Repository) {
        let place = Self::new();
        place.write("source/a", b"alpha");
        place.write("source/folder/b", b"beta");
        let repository = place.init("repository").await;
        (place, repository)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file and the directories above it.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A file that keeps the engine busy for seconds and takes no space on disk.
    pub(crate) fn write_sparse(&self, name: &str, size: u64) {
        fs::File::create(self.path(name)).unwrap().set_len(size).unwrap();
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        Repository {
            location: self.path(name).to_str().unwrap().to_owned(),
            options: std::collections::BTreeMap::new(),
            password: Secret::new("correct horse".to_owned()),
            key: None,
            expected_id: None,
        }
    }

    /// Creates a repository and returns it with its id as the expected one.
    pub(crate) async fn init(&self, name: &str) -> Repository {
        let mut repository = self.repository(name);
        repository.expected_id = Some(self.try_init(&repository).await.unwrap().repository_id);
        repository
    }

    pub(crate) async fn try_init(&self, repository: &Repository) -> Result<InitResult, EngineError> {
        match self.run(Operation::Init { repository: repository.clone() }).await?.result {
            OperationResult::Init(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    /// A request to back up `source` to `manifest`.
    pub(crate) fn backup_request(&self, repository: &Repository) -> Backup {
        Backup {
            repository: repository.clone(),
            task: "0193-task".to_owned(),
            epoch: 3,
            job: "docs".to_owned(),
            paths: vec![self.path("source")],
            exclude: Vec::new(),
            hashes: Hashes::Sample,
            manifest_out: self.path("manifest"),
        }
    }

    pub(crate) async fn backup(&self, request: Backup) -> Result<BackupResult, EngineError> {
        match self.run(Operation::Backup(request)).await?.result {
            OperationResult::Backup(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn copy(
        &self,
        from: &Repository,
        to: &Repository,
        snapshot: &str,
    ) -> Result<CopyResult, EngineError> {
        let request = Copy { from: from.clone(), to: to.clone(), snapshot: snapshot.to_owned() };
        match self.run(Operation::Copy(request)).await?.result {
            OperationResult::Copy(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn verify(
        &self,
        repository: &Repository,
        snapshot: &str,
        level: Level,
    ) -> Result<VerifyResult, EngineError> {
        let request = Verify { repository: repository.clone(), snapshot: snapshot.to_owned(), level };
        match self.run(Operation::Verify(request)).await?.result {
            OperationResult::Verify(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    /// The level that restores and compares with `manifest`.
    pub(crate) fn rehearsal(&self) -> Level {
        Level::Restore { manifest: self.path("manifest"), scratch: self.path("scratch") }
    }

    pub(crate) async fn restore(
        &self,
        repository: &Repository,
        snapshot: &str,
        into: &str,
    ) -> Result<RestoreResult, EngineError> {
        let (repository, into) = (repository.clone(), self.path(into));
        let request = Restore { repository, snapshot: snapshot.to_owned(), into };
        match self.run(Operation::Restore(request)).await?.result {
            OperationResult::Restore(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn list(&self, repository: &Repository) -> Result<ListResult, EngineError> {
        let request = List { repository: repository.clone(), job: "docs".to_owned() };
        match self.run(Operation::List(request)).await?.result {
            OperationResult::List(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    /// Runs an operation with a lease of [`PATIENCE`] and nobody to cancel it.
    pub(crate) async fn run(&self, operation: Operation) -> Result<Completed, EngineError> {
        let (_lease, lease) = watch::channel(BootInstant::from_now(PATIENCE));
        self.engine.run(operation, lease, CancellationToken::new(), ignore).await
    }

    /// The pack files of a local repository, largest first.
    pub(crate) fn packs(&self, repository: &str) -> Vec<PathBuf> {
        let mut packs: Vec<_> = files_below(&self.path(repository).join("data"));
        packs.sort_by_key(|pack| std::cmp::Reverse(fs::metadata(pack).unwrap().len()));
        packs
    }

    /// How many snapshots a local repository holds, without opening it.
    pub(crate) fn snapshots(&self, repository: &str) -> usize {
        files_below(&self.path(repository).join("snapshots")).len()
    }
}

pub(crate) fn ignore(_: Progress) {}

pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The message of an error for which the target is not to blame.
#[track_caller]
pub(crate) fn of_source<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> String {
    match outcome {
        Err(EngineError::Source(message)) => message,
        other => panic!("expected an error of the source, got {other:?}"),
    }
}

/// The message of a permanent error.
#[track_caller]
pub(crate) fn permanent<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> String {
    match outcome {
        Err(EngineError::Permanent(message)) => message,
        other => panic!("expected a permanent error, got {other:?}"),
    }
}

/// The message of an error that says that the repository is not there.
#[track_caller]
pub(crate) fn gone<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> String {
    match outcome {
        Err(EngineError::Gone(message)) => message,
        other => panic!("expected the repository to be gone, got {other:?}"),
    }
}

/// The message of a transient error.
#[track_caller]
pub(crate) fn transient<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> String {
    match outcome {
        Err(EngineError::Transient(message)) => message,
        other => panic!("expected a transient error, got {other:?}"),
    }
}

/// Waits until something holds; panics after [`PATIENCE`].
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Fails loudly instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
