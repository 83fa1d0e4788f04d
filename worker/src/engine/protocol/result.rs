//! What comes out of the operations.

use serde::{Deserialize, Serialize};

/// What came out of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OperationResult {
    /// Of [`Operation::Init`](super::Operation::Init).
    Init(InitResult),
    /// Of [`Operation::Backup`](super::Operation::Backup).
    Backup(BackupResult),
    /// Of [`Operation::Copy`](super::Operation::Copy).
    Copy(CopyResult),
    /// Of [`Operation::Verify`](super::Operation::Verify).
    Verify(VerifyResult),
    /// Of [`Operation::Restore`](super::Operation::Restore).
    Restore(RestoreResult),
    /// Of [`Operation::List`](super::Operation::List).
    List(ListResult),
    /// Of [`Operation::Forget`](super::Operation::Forget).
    Forget(ForgetResult),
    /// Of [`Operation::Prune`](super::Operation::Prune).
    Prune(PruneResult),
}

/// The result of [`Operation::Init`](super::Operation::Init).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitResult {
    /// The repository's id: 64 hexadecimal digits.
    pub repository_id: String,
    /// Whether it was created just now.
    pub created: bool,
}

/// The result of [`Operation::Backup`](super::Operation::Backup).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupResult {
    /// The new snapshot's id: 64 hexadecimal digits.
    pub snapshot: String,
    /// The id of the repository that holds it.
    pub repository_id: String,
    /// The moment before the first file was looked at, in RFC 3339: the snapshot holds data of this time or later.
    pub data_time: String,
    /// The regular files of the source in the snapshot.
    pub files: u64,
    /// The size of these files, in bytes.
    pub bytes: u64,
    /// What the repository grew by, in bytes, after deduplication and compression.
    pub bytes_added: u64,
    /// The parent snapshot whose unchanged files were not read again.
    pub parent: Option<String>,
    /// What exists in the source but could not be saved.
    pub source_errors: Named,
    /// Entries that vanished between being listed and being read.
    pub vanished: u64,
    /// Files that changed while they were read. The snapshot holds what was read.
    pub changed: u64,
    /// The manifest that was written.
    pub manifest: ManifestSummary,
}

/// A written source manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSummary {
    /// Entries of every type, directories included.
    pub entries: u64,
    /// Files among them.
    pub files: u64,
    /// The size of these files, in bytes.
    pub bytes: u64,
    /// Files with a SHA-256.
    pub hashed_files: u64,
    /// Bytes that these hashes cover.
    pub hashed_bytes: u64,
    /// The size of the manifest itself, compressed, in bytes.
    pub size: u64,
    /// The SHA-256 of the manifest itself, compressed, as 64 hexadecimal digits.
    pub sha256: String,
}

/// The result of [`Operation::Copy`](super::Operation::Copy).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyResult {
    /// The snapshot's id in the destination, which differs from the one in the source.
    pub snapshot: String,
    /// The id of the destination.
    pub repository_id: String,
    /// The time of the data, as the source's snapshot says it (RFC 3339).
    pub data_time: String,
    /// Whether the destination held this snapshot before.
    pub already_there: bool,
    /// The regular files in the snapshot.
    pub files: u64,
    /// The size of these files, in bytes.
    pub bytes: u64,
    /// What the destination grew by, in bytes, after deduplication and compression.
    pub bytes_added: u64,
}

/// The result of [`Operation::Verify`](super::Operation::Verify): evidence for or against a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyResult {
    /// Whether nothing was found wrong.
    pub passed: bool,
    /// The repository's id.
    pub repository_id: String,
    /// The files that were verified: all files of the snapshot, if it could be read.
    pub files: u64,
    /// The size of these files, in bytes.
    pub bytes: u64,
    /// The files whose SHA-256 was compared with the manifest's (restore level only).
    pub hashed_files: u64,
    /// What was read from the repository, in bytes.
    pub bytes_read: u64,
    /// What was found wrong.
    pub differences: Named,
    /// How long it took.
    pub seconds: f64,
}

/// The result of [`Operation::Restore`](super::Operation::Restore).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreResult {
    /// The regular files that were restored.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// The result of [`Operation::List`](super::Operation::List): the repository was reached, and this is what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListResult {
    /// The repository's id.
    pub repository_id: String,
    /// The job's snapshots, oldest first.
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
    /// Snapshot files of any job that could not be read.
    pub unreadable: Named,
}

/// One snapshot of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// The id that its first copy had: the same as `id` unless this is a copy.
    pub original: String,
    /// The time of the data (RFC 3339).
    pub data_time: String,
    /// The task that made it (tag `task:<id>`).
    pub task: Option<String>,
    /// The epoch of the attempt that made it (tag `epoch:<n>`).
    pub epoch: Option<i64>,
    /// The machine that made it.
    pub host: String,
    /// Its files and other entries that are no directories, as its maker counted them.
    pub files: Option<u64>,
    /// The size of these files, in bytes.
    pub bytes: Option<u64>,
}

/// The result of [`Operation::Forget`](super::Operation::Forget): none of the snapshots is there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetResult {
    /// How many were there.
    pub removed: u64,
}

/// The result of [`Operation::Prune`](super::Operation::Prune), in bytes of pack files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneResult {
    /// Removed: nothing had needed them for 23 hours.
    pub bytes_removed: u64,
    /// Marked, now or before: they are removed once nothing has needed them for 23 hours. Parts of packs that were written anew
    /// count with their packs.
    pub bytes_marked: u64,
    /// Everything else that is there.
    pub bytes_kept: u64,
}

/// A number and the first few of what it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// How many there are: exact.
    pub count: u64,
    /// The first of them, at most [`Named::LIMIT`].
    pub first: Vec<String>,
}

impl Named {
    /// How many are named.
    pub const LIMIT: usize = 100;
    /// How long a name may be, in bytes: 100 of them, each byte escaped to six, stay below half a line.
    const NAME_LIMIT: usize = 768;

    /// Counts one more and names it if there is room.
    pub fn push(&mut self, name: impl Into<String>) {
        self.count += 1;
        if self.first.len() < Self::LIMIT {
            self.first.push(shorten(name.into(), Self::NAME_LIMIT));
        }
    }
}

/// Cuts a text at a character boundary so that it holds at most `limit` bytes, and marks the cut.
#[must_use]
pub fn shorten(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let mark = "…";
        let end = (0..=limit.saturating_sub(mark.len())).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.push_str(mark);
    }
    text
}
