//! Creating and opening repositories, and saying clearly why that failed.
//!
//! Only [`init`] ever creates a repository. Everything else fails if there is none, and tells "there is no
//! repository" from "it could not be reached": an absent mount must not look like an empty target.

use std::sync::Arc;

use rustic_backend::BackendOptions;
use rustic_core::{
    ConfigOptions, Credentials, FileType, Id, IndexedFullStatus, KeyOptions, OpenStatus,
    Repository as Rustic, RepositoryBackends, RepositoryOptions, RusticError,
    repofile::{SnapshotFile, SnapshotId},
};

use super::{
    failure::{self, Cause, cause, chain},
    fence::{Fenced, Traffic},
    key, local,
    output::{Bars, phase},
    protocol::{Failure, InitResult, Repository},
    throttle, warnings,
};

/// Whether a remote repository may be read through the local cache (below `$XDG_CACHE_HOME` or `~/.cache`).
///
/// It saves reading the trees of the parent snapshot over the network on each backup. A verification must not use
/// it: it would verify the cache. Local repositories never use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Read from the repository itself.
    Bypass,
    /// Read trees and indexes from the cache if they are there.
    Use,
}

/// An open repository.
pub struct Opened {
    /// The engine's handle.
    pub rustic: Rustic<OpenStatus>,
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Where it is, as people may see it.
    pub shown: String,
    /// What has gone through it.
    pub traffic: Arc<Traffic>,
}

/// A repository with its index in memory.
pub type Indexed = Rustic<IndexedFullStatus>;

/// Opens an existing repository.
///
/// # Errors
///
/// Permanent: there is no repository, it is another one than expected, the password is wrong, the location makes no
/// sense. Transient: it could not be reached.
pub fn open(repository: &Repository, cache: Cache, bars: Bars) -> Result<Opened, Failure> {
    phase("open");
    if let Some(path) = local::path_of(repository)? {
        local::require_folders(&path)?;
    }
    let connection = connect(repository, cache, bars)?;
    if !connection.has_config()? {
        return Err(connection.gone());
    }
    connection.open(repository)
}

/// Creates a repository, or confirms that the existing one opens with this password.
///
/// # Errors
///
/// As [`open`]; permanent also: the parent directory of a local path is missing (so that a missing mount does not get
/// a repository on the disk below), or the directory holds something else.
pub fn init(repository: &Repository) -> Result<InitResult, Failure> {
    phase("create");
    if let Some(path) = local::path_of(repository)? {
        local::require_room(&path)?;
    }
    let connection = connect(repository, Cache::Bypass, Bars::default())?;
    if connection.has_config()? {
        let opened = connection.open(repository)?;
        return Ok(InitResult { repository_id: opened.id, created: false });
    }
    if let Some(expected) = &repository.expected_id {
        return Err(Failure::permanent(format!(
            "the repository {expected} is gone from {}; refusing to create another one in its place",
            connection.shown
        )));
    }
    let shown = connection.shown;
    let credentials = Credentials::password(repository.password.reveal());
    // The default is version 2 of the format: compressed, and readable by restic from 0.14 on.
    let created = connection
        .rustic
        .init(&credentials, &KeyOptions::default(), &ConfigOptions::default())
        .map_err(|error| failure::transient(&format!("cannot create a repository at {shown}"), &*error))?;
    key::tell(&shown, &created);
    Ok(InitResult { repository_id: hex(*created.config().id), created: true })
}

/// One snapshot by its id; the inner error says why the repository cannot give it: missing or damaged.
///
/// # Errors
///
/// If the repository cannot be read (transient), or the id is none (permanent).
pub fn snapshot(opened: &Opened, id: &str) -> Result<Result<SnapshotFile, String>, Failure> {
    if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::permanent(format!("{id:?} is no snapshot id: it needs 64 hexadecimal digits")));
    }
    let unreadable = |error: Box<RusticError>| {
        let doing = format!("cannot read snapshot {id} of {}", opened.shown);
        match cause(&*error) {
            Cause::Damage => Ok(Err(format!("{doing}: {}", chain(&*error)))),
            Cause::Outage => Err(failure::transient(&doing, &*error)),
        }
    };
    let missing = || Ok(Err(format!("{} does not hold snapshot {id}", opened.shown)));
    let listed = match opened.rustic.list::<SnapshotId>() {
        Ok(mut listed) => listed.any(|listed| hex(*listed) == id),
        Err(error) => return unreadable(error),
    };
    if warnings::listing_was_incomplete() {
        return Err(Failure::transient(format!("the snapshots of {} cannot all be listed", opened.shown)));
    }
    if !listed {
        return missing();
    }
    match opened.rustic.get_snapshots(&[id]) {
        Ok(mut found) => found.pop().map_or_else(missing, |found| Ok(Ok(found))),
        Err(error) => unreadable(error),
    }
}

/// Reads the index of a repository; the inner error says what is damaged.
///
/// # Errors
///
/// If the repository cannot be read (transient).
pub fn index(rustic: Rustic<OpenStatus>, shown: &str) -> Result<Result<Indexed, String>, Failure> {
    rustic.to_indexed().map(Ok).or_else(|error| {
        let doing = format!("cannot read the index of {shown}");
        match cause(&*error) {
            Cause::Damage => Ok(Err(format!("{doing}: {}", chain(&*error)))),
            Cause::Outage => Err(failure::transient(&doing, &*error)),
        }
    })
}

/// An id in full. The engine itself shows only its first eight digits.
#[must_use]
pub fn hex(id: Id) -> String {
    String::from(&*id.to_hex())
}

/// The time of a snapshot's data in RFC 3339, in UTC.
#[must_use]
pub fn data_time(snapshot: &SnapshotFile) -> String {
    snapshot.time.timestamp().to_string()
}

/// A backend with a location that made sense; nothing has been read yet.
struct Connection {
    rustic: Rustic<()>,
    backend: Arc<Fenced>,
    shown: String,
    local: bool,
    traffic: Arc<Traffic>,
}

fn connect(repository: &Repository, cache: Cache, bars: Bars) -> Result<Connection, Failure> {
    let shown = repository.shown();
    let senseless = |error: Box<RusticError>| {
        failure::permanent(&format!("the repository's location {shown} makes no sense"), &*error)
    };
    let backends = BackendOptions::default()
        .repository(repository.location.clone())
        .options(repository.options.clone())
        .to_backends()
        .map_err(senseless)?;
    let traffic = Arc::new(Traffic::default());
    let backend = Arc::new(Fenced::new(
        backends.repository(),
        Arc::clone(&traffic),
        throttle::of(&repository.location),
    ));
    let local = local::path_of(repository)?.is_some();
    let options = RepositoryOptions::default().no_cache(local || cache == Cache::Bypass);
    let rustic = Rustic::new_with_progress(&options, &RepositoryBackends::new(backend.clone(), None), bars)
        .map_err(senseless)?;
    Ok(Connection { rustic, backend, shown, local, traffic })
}

impl Connection {
    /// Whether the repository has its config file, which is what makes it one.
    fn has_config(&self) -> Result<bool, Failure> {
        let unreachable =
            |error: Box<RusticError>| failure::transient(&format!("cannot reach {}", self.shown), &*error);
        if self.rustic.config_id().map_err(unreachable)?.is_some() {
            return Ok(true);
        }
        if self.local {
            return Ok(false);
        }
        // A REST server that answers "not authorised" or "internal error" looks to the engine as if it had no config.
        match rustic_core::ReadBackend::list(&*self.backend, FileType::Key) {
            Ok(_) => Ok(false),
            Err(error) => {
                let text = chain(&*error);
                match cause(&*error) {
                    Cause::Damage => Ok(false),
                    Cause::Outage if text.contains("(401 ") || text.contains("(403 ") => {
                        Err(Failure::permanent(format!("{} refuses access: {text}", self.shown)))
                    }
                    Cause::Outage => Err(unreachable(error)),
                }
            }
        }
    }

    fn gone(&self) -> Failure {
        Failure::gone(format!("the repository is gone from {}: there is no config file", self.shown))
    }

    fn open(self, repository: &Repository) -> Result<Opened, Failure> {
        let Self { rustic, backend, shown, traffic, .. } = self;
        let known = repository.key.as_ref().and_then(|key| key::known(&*backend, key));
        let credentials = known.unwrap_or_else(|| Credentials::password(repository.password.reveal()));
        let opened = rustic.open(&credentials).map_err(|error| {
            if error.is_incorrect_password() {
                Failure::permanent(format!("wrong password for the repository at {shown}"))
            } else {
                failure::reading(&format!("cannot open the repository at {shown}"), &*error)
            }
        })?;
        key::tell(&shown, &opened);
        let id = hex(*opened.config().id);
        match &repository.expected_id {
            Some(expected) if *expected != id => Err(Failure::permanent(format!(
                "another repository than the one known is at {shown}: its id is {id} and should be {expected}"
            ))),
            _ => Ok(Opened { rustic: opened, id, shown, traffic }),
        }
    }
}
