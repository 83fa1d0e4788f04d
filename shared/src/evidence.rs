//! Evidence: something observed about a copy, with its time; and the newest of each kind, which rules look at.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::job::JobId;
use crate::name::id_type;
use crate::target::TargetId;
use crate::task::TaskId;
use crate::work::RestorePointId;

id_type! {
    /// One observation.
    EvidenceId(Uuid)
}

/// The share of its window after which a check is due again: what is left is for the check itself, and for its failure.
pub const DUE_SHARE: f64 = 0.8;

/// One observation about a job's copy on a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Its identity.
    pub id: EvidenceId,
    /// Whose data.
    pub job: JobId,
    /// Where.
    pub target: TargetId,
    /// The task that observed it.
    pub task: TaskId,
    /// When, on the database's clock.
    pub observed_at: DateTime<Utc>,
    /// What.
    pub finding: Finding,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// A complete restore point was written.
    RestorePoint(PointFact),
    /// Another system says that it wrote a complete restore point: evidence of a weaker class, for nobody of ours saw it.
    Reported(PointFact),
    /// The repository was listed while in reach.
    Listing {
        /// Whether the job's newest restore point was there.
        present: bool,
    },
    /// The contents were listed right before the medium was taken away.
    Inventory {
        /// Whether the job's newest restore point was there.
        present: bool,
    },
    /// A probe could not reach the repository of a detached target.
    Detached,
    /// A probe did reach the repository of a target that should have been away.
    Reached,
    /// The repository's structure was checked.
    Structure(Check),
    /// All data of the restore point was read.
    Read(Check),
    /// The restore point was restored and compared with the source manifest.
    RestoreTest(Check),
    /// The storage itself answered until when it refuses to delete.
    Lock {
        /// The end of the lock.
        until: DateTime<Utc>,
    },
    /// A delete was tried.
    DeleteProbe {
        /// Whether the storage refused it.
        refused: bool,
    },
}

/// What matters of a restore point for the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointFact {
    /// Which one.
    pub restore_point: RestorePointId,
    /// The moment whose data it holds; a copy keeps that of its original.
    pub data_time: DateTime<Utc>,
    /// Entries of the source that could not be read and are missing.
    pub source_errors: u64,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which restore point was looked at.
    pub restore_point: RestorePointId,
    /// Whether it held.
    pub passed: bool,
    /// How long it took; for a restore test this is the measured recovery time.
    pub seconds: f64,
    /// What was found wrong, for people; empty when it passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Finding {
    /// The kind's name in the database.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RestorePoint(_) => "restore_point",
            Self::Reported(_) => "reported",
            Self::Listing { .. } => "listing",
            Self::Inventory { .. } => "inventory",
            Self::Detached => "detached",
            Self::Reached => "reached",
            Self::Structure(_) => "structure",
            Self::Read(_) => "read",
            Self::RestoreTest(_) => "restore_test",
            Self::Lock { .. } => "lock",
            Self::DeleteProbe { .. } => "delete_probe",
        }
    }
}

/// The newest observation of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// The row it comes from.
    pub evidence: EvidenceId,
    /// When it was observed.
    pub at: DateTime<Utc>,
    /// What it says.
    pub says: T,
}

/// Where the medium was when it was last looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whereabouts {
    /// A worker reached it.
    InReach,
    /// It is detached, and a worker could not reach it.
    Away,
}

/// The newest facts about a job's copy on one target: a fold over its evidence, in any order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The complete restore point with the newest data; a late copy of older data does not replace it.
    pub restore_point: Option<Fact<PointFact>>,
    /// The reported restore point with the newest data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<Fact<PointFact>>,
    /// When a restore point was last written, as far as that was seen or said.
    pub written_at: Option<DateTime<Utc>>,
    /// Whether the newest listing in reach showed it.
    pub listing: Option<Fact<bool>>,
    /// Whether the newest inventory showed it.
    pub inventory: Option<Fact<bool>>,
    /// Where the medium is.
    pub whereabouts: Option<Fact<Whereabouts>>,
    /// The newest structure check.
    pub structure: Option<Fact<Check>>,
    /// The newest reading of all data.
    pub read: Option<Fact<Check>>,
    /// The newest restore test.
    pub restore_test: Option<Fact<Check>>,
    /// The end of the storage's lock.
    pub lock: Option<Fact<DateTime<Utc>>>,
    /// Whether the newest try to delete was refused.
    pub delete_probe: Option<Fact<bool>>,
}

impl Facts {
    /// Takes one more observation in; an older one than what is known changes nothing.
    pub fn observe(&mut self, evidence: &Evidence) {
        fn newest<T>(slot: &mut Option<Fact<T>>, evidence: &Evidence, says: T) {
            let known = slot.as_ref().map(|fact| (fact.at, fact.evidence));
            if known.is_none_or(|known| known <= (evidence.observed_at, evidence.id)) {
                *slot = Some(Fact { evidence: evidence.id, at: evidence.observed_at, says });
            }
        }
        fn newest_data(slot: &mut Option<Fact<PointFact>>, evidence: &Evidence, point: &PointFact) {
            let key = |fact: &Fact<PointFact>| (fact.says.data_time, fact.at, fact.evidence);
            let fact = Fact { evidence: evidence.id, at: evidence.observed_at, says: point.clone() };
            if slot.as_ref().is_none_or(|known| key(known) <= key(&fact)) {
                *slot = Some(fact);
            }
        }
        match &evidence.finding {
            Finding::RestorePoint(point) => {
                newest_data(&mut self.restore_point, evidence, point);
                self.written_at = self.written_at.max(Some(evidence.observed_at));
            }
            Finding::Reported(point) => {
                newest_data(&mut self.reported, evidence, point);
                self.written_at = self.written_at.max(Some(evidence.observed_at));
            }
            Finding::Listing { present } => {
                newest(&mut self.listing, evidence, *present);
                // A listing that found nothing may not have reached anything.
                if *present {
                    newest(&mut self.whereabouts, evidence, Whereabouts::InReach);
                }
            }
            Finding::Inventory { present } => newest(&mut self.inventory, evidence, *present),
            Finding::Detached => newest(&mut self.whereabouts, evidence, Whereabouts::Away),
            Finding::Reached => newest(&mut self.whereabouts, evidence, Whereabouts::InReach),
            Finding::Structure(check) => newest(&mut self.structure, evidence, check.clone()),
            Finding::Read(check) => newest(&mut self.read, evidence, check.clone()),
            Finding::RestoreTest(check) => newest(&mut self.restore_test, evidence, check.clone()),
            Finding::Lock { until } => newest(&mut self.lock, evidence, *until),
            Finding::DeleteProbe { refused } => newest(&mut self.delete_probe, evidence, *refused),
        }
    }

    /// Whether a check of this kind is missing, failed, or in the last fifth of its window, so that the next
    /// restore point should be checked again.
    #[must_use]
    pub fn is_due(check: Option<&Fact<Check>>, window: Duration, now: DateTime<Utc>) -> bool {
        check.is_none_or(|fact| !fact.says.passed || fact.at + window.mul_f64(DUE_SHARE) <= now)
    }
}

/// A link of a job's chain of evidence: SHA-256 over the link before it and the observation's canonical JSON.
#[must_use]
pub fn chain(previous: &[u8], evidence: &Evidence) -> Vec<u8> {
    // Serialization of plain structs with text keys cannot fail.
    let finding = serde_json::to_vec(&evidence.finding).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(evidence.id.0.as_bytes());
    hash.update(evidence.job.0.to_be_bytes());
    hash.update(evidence.target.0.to_be_bytes());
    hash.update(evidence.task.0.as_bytes());
    hash.update(evidence.observed_at.timestamp_micros().to_be_bytes());
    hash.update(finding);
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests;
