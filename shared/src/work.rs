//! What a task asks for: its kind together with its checked parameters.

pub mod maintain;

mod record;
mod report;
mod span;
mod values;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use maintain::MaintainParams;
pub use record::{MOST_SKEW, RecordParams, Reported};
pub use report::{LONGEST_PERIOD, MOST_CHANNELS, Period, Relative, ReportFormat, ReportKind, ReportParams};
pub use span::{Month, Span, Week};

use crate::name::{id_type, name_type, text_enum};
use crate::target::TargetName;
use crate::task::TaskKind;

id_type! {
    /// One snapshot of a job's data on one target.
    RestorePointId(Uuid)
}

name_type! {
    /// A directory directly below one of the worker's restore roots: a message can never name a free path.
    RestoreName
}

name_type! {
    /// A report's name, as definitions say it.
    ReportName
}

text_enum! {
    /// How thoroughly a restore point is checked.
    Level {
        /// The repository's structure and that every piece is there.
        Structure = "structure",
        /// Every byte read and its hash checked.
        Read = "read",
        /// Restored, and compared with the source manifest.
        Restore = "restore",
    }
}

/// A task's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Back up the job's source to its first target.
    Backup,
    /// Copy a restore point to another target.
    Copy(CopyParams),
    /// Check a restore point.
    Verify(VerifyParams),
    /// Write a restore point into a directory.
    Restore(RestoreParams),
    /// Look at a target.
    Probe(ProbeParams),
    /// Forget the restore points that the job's retention does not keep.
    Forget(ForgetParams),
    /// Make a report.
    Report(ReportParams),
    /// Note what another system did.
    Record(RecordParams),
    /// Look after the database.
    Maintain(MaintainParams),
}

/// Parameters of `copy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyParams {
    /// What to copy; its target is where it is read from.
    pub restore_point: RestorePointId,
    /// Where it goes.
    pub target: TargetName,
}

/// Parameters of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyParams {
    /// Whose copy.
    pub target: TargetName,
    /// How thoroughly.
    pub level: Level,
}

/// Parameters of `restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreParams {
    /// From where; the first attached target with a restore point when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// Which one; the newest complete one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_point: Option<RestorePointId>,
    /// The new directory below the worker's restore root.
    pub into: RestoreName,
}

/// Parameters of `probe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeParams {
    /// Which target.
    pub target: TargetName,
}

/// Parameters of `forget`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgetParams {
    /// On which target.
    pub target: TargetName,
}

/// Why parameters were refused: they are not those of the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("params: {0}")]
pub struct InvalidWork(pub String);

impl Work {
    /// Checks the parameters of a task.
    ///
    /// # Errors
    /// Names the parameter that is missing or wrong.
    pub fn parse<'a>(kind: TaskKind, params: impl Deserializer<'a>) -> Result<Self, InvalidWork> {
        fn typed<'a, T: Deserialize<'a>>(params: impl Deserializer<'a>) -> Result<T, InvalidWork> {
            T::deserialize(params).map_err(|error| InvalidWork(error.to_string()))
        }
        match kind {
            TaskKind::Backup => Ok(Self::Backup),
            TaskKind::Copy => typed(params).map(Self::Copy),
            TaskKind::Verify => typed(params).map(Self::Verify),
            TaskKind::Restore => typed(params).map(Self::Restore),
            TaskKind::Probe => typed(params).map(Self::Probe),
            TaskKind::Forget => typed(params).map(Self::Forget),
            TaskKind::Report => {
                let params: Map<String, Value> = typed(params)?;
                ReportParams::read(&params).map(Self::Report).map_err(InvalidWork)
            }
            TaskKind::Record => {
                let params: Map<String, Value> = typed(params)?;
                RecordParams::read(&params).map(Self::Record).map_err(InvalidWork)
            }
            TaskKind::Maintain => {
                let params: Map<String, Value> = typed(params)?;
                MaintainParams::read(&params).map(Self::Maintain).map_err(InvalidWork)
            }
        }
    }

    /// Checks what depends on the time at which a task was received.
    ///
    /// # Errors
    /// Names the parameter that is wrong.
    pub fn check(&self, received_at: DateTime<Utc>) -> Result<(), InvalidWork> {
        match self {
            Self::Record(record) => record.check(received_at).map_err(InvalidWork),
            Self::Report(report) => report.check(received_at).map_err(InvalidWork),
            _ => Ok(()),
        }
    }

    /// The target that the work names; a backup's is its job's first one.
    #[must_use]
    pub fn target(&self) -> Option<&TargetName> {
        match self {
            Self::Copy(copy) => Some(&copy.target),
            Self::Verify(verify) => Some(&verify.target),
            Self::Probe(probe) => Some(&probe.target),
            Self::Forget(forget) => Some(&forget.target),
            Self::Restore(restore) => restore.target.as_ref(),
            Self::Record(record) => Some(&record.target),
            Self::Backup | Self::Report(_) | Self::Maintain(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_restore_cannot_name_a_path() {
        for into in ["/etc", "../up", "a/b", ""] {
            let refused = Work::parse(TaskKind::Restore, json!({ "into": into }));
            assert!(refused.is_err(), "{into:?} was taken");
        }
    }

    #[test]
    fn a_missing_parameter_is_named() {
        let refused = Work::parse(TaskKind::Verify, json!({ "target": "disk-a" })).unwrap_err();
        assert!(refused.to_string().contains("level"), "{refused}");
    }
}
