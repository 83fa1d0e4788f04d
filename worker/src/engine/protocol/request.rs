//! What the worker asks of its child.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::secret::{Key, Secret};
use crate::engine::clock::BootInstant;

/// The version of this protocol. The program on disk may be replaced while an older worker still runs, so a child
/// refuses a request of any other version instead of guessing.
pub const VERSION: u32 = 5;

/// The first line: what to do, and until when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Always [`VERSION`].
    pub version: u32,
    /// The child ends itself at this instant, unless a later [`Told::Extend`] moves it.
    pub deadline: BootInstant,
    /// How fast the repositories may be used, until a later [`Told::Speeds`] changes it.
    #[serde(default, skip_serializing_if = "Speeds::is_empty")]
    pub speeds: Speeds,
    /// What to do.
    pub operation: Operation,
}

/// How many bytes a second may be read and written together, by the repository's location; as fast as it can be where it
/// is absent.
pub type Speeds = BTreeMap<String, u64>;

/// Each further line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The lease was extended: the new deadline. It replaces the old one, also when it lies before it.
    Extend(BootInstant),
    /// All speeds from now on.
    Speeds(Speeds),
}

/// One piece of work for the engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// Creates the repository, or confirms that it exists and that the password opens it.
    Init {
        /// The repository. On a local path its parent directory must exist.
        repository: Repository,
    },
    /// Saves paths of this machine as a new snapshot and writes the source manifest.
    Backup(Backup),
    /// Copies one snapshot into another repository, unless it is there already.
    Copy(Copy),
    /// Checks one snapshot.
    Verify(Verify),
    /// Restores one snapshot.
    Restore(Restore),
    /// Lists the snapshots of a job.
    List(List),
    /// Removes snapshots of a job.
    Forget(Forget),
    /// Rids the repository of what no snapshot needs.
    Prune {
        /// The repository, which nobody else may use meanwhile.
        repository: Repository,
    },
}

impl Operation {
    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Init { .. } => "init",
            Self::Backup(_) => "backup",
            Self::Copy(_) => "copy",
            Self::Verify(_) => "verify",
            Self::Restore(_) => "restore",
            Self::List(_) => "list",
            Self::Forget(_) => "forget",
            Self::Prune { .. } => "prune",
        }
    }

    /// The repositories that it opens.
    pub fn repositories_mut(&mut self) -> Vec<&mut Repository> {
        match self {
            Self::Init { repository } | Self::Prune { repository } => vec![repository],
            Self::Backup(backup) => vec![&mut backup.repository],
            Self::Copy(copy) => vec![&mut copy.from, &mut copy.to],
            Self::Verify(verify) => vec![&mut verify.repository],
            Self::Restore(restore) => vec![&mut restore.repository],
            Self::List(list) => vec![&mut list.repository],
            Self::Forget(forget) => vec![&mut forget.repository],
        }
    }
}

/// The parameters of [`Operation::Backup`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Backup {
    /// The destination.
    pub repository: Repository,
    /// The task's id. It becomes the tag `task:<id>` and seeds the sample of hashed files.
    pub task: String,
    /// The attempt's epoch. It becomes the tag `epoch:<n>`, so that a fenced attempt's snapshot can be recognised.
    pub epoch: i64,
    /// The job's name. It becomes the tag `job:<name>` and the snapshot's label, by which the next backup finds its
    /// parent snapshot. It must not hold a comma, which separates tags.
    pub job: String,
    /// Absolute paths of files or directories. Symbolic links in them are resolved.
    pub paths: Vec<PathBuf>,
    /// What to leave out, nearly in the syntax of `.gitignore`: see [`crate::engine::source::excludes`].
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Which files get a SHA-256 in the manifest.
    #[serde(default)]
    pub hashes: Hashes,
    /// Where to write the manifest. The directory must exist.
    pub manifest_out: PathBuf,
}

/// Which files get a SHA-256 in the manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hashes {
    /// A seeded sample of bounded size (1,000 files, 256 MiB).
    #[default]
    Sample,
    /// Every file, in full.
    All,
}

/// The parameters of [`Operation::Copy`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Copy {
    /// The repository that holds the snapshot.
    pub from: Repository,
    /// The repository that shall hold it too.
    pub to: Repository,
    /// The snapshot's id in `from`: 64 hexadecimal digits.
    pub snapshot: String,
}

/// The parameters of [`Operation::Verify`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verify {
    /// The repository that holds the snapshot.
    pub repository: Repository,
    /// The snapshot's id: 64 hexadecimal digits.
    pub snapshot: String,
    /// How thoroughly.
    pub level: Level,
}

/// How thoroughly a snapshot is verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The index and all the snapshot's trees can be read, everything they refer to is present in the right size.
    Structure,
    /// Beyond that, every pack that the snapshot needs is read in full and its checksums hold.
    Read,
    /// The snapshot is restored and compared with the manifest of its backup.
    Restore {
        /// The manifest that the backup wrote.
        manifest: PathBuf,
        /// An existing directory. A fresh subdirectory takes the restored files and is removed at the end.
        scratch: PathBuf,
    },
}

/// The parameters of [`Operation::Restore`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restore {
    /// The repository that holds the snapshot.
    pub repository: Repository,
    /// The snapshot's id: 64 hexadecimal digits.
    pub snapshot: String,
    /// Where to: an empty directory, or a path that does not exist yet (its parent must). A snapshot of one source
    /// directory puts the content of that directory right here, a snapshot of one file puts the file here; with
    /// several source paths their full paths appear below.
    pub into: PathBuf,
}

/// The parameters of [`Operation::List`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct List {
    /// The repository to look into.
    pub repository: Repository,
    /// Only snapshots with the tag `job:<name>`.
    pub job: String,
}

/// The parameters of [`Operation::Forget`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Forget {
    /// The repository, which nobody else may use meanwhile.
    pub repository: Repository,
    /// Only snapshots with the tag `job:<name>` may be removed.
    pub job: String,
    /// The ids of the snapshots, at most [`Forget::LIMIT`]. Those that are not there any more are passed over.
    pub snapshots: Vec<String>,
}

impl Forget {
    /// How many snapshots may be named: at 67 bytes each well below the limit of a line.
    pub const LIMIT: usize = 5000;
}

/// A repository and what it takes to open it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Repository {
    /// A path of this machine, `rest:http://..`, or another scheme that the engine was built with.
    pub location: String,
    /// Options of the storage backend, for example `retry`. They may hold secrets.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// The password.
    pub password: Secret,
    /// What the password gave before, which saves deriving it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The id that this repository must have. Another one is a permanent error: somebody put another repository into
    /// its place. `None` accepts any.
    #[serde(default)]
    pub expected_id: Option<String>,
}

impl Repository {
    /// The location as people may see it: without the user information of a URL, which may hold a password.
    #[must_use]
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.location.split_once("://") else {
            return self.location.clone();
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }
}

/// Shows neither the password, nor the key, nor the values of options.
impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("location", &self.shown())
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("expected_id", &self.expected_id)
            .finish_non_exhaustive()
    }
}
