//! A job: what is backed up, where its copies go, and which rules it must keep.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::{Rule, Setting, Tag};
use crate::compliance::Exception;
use crate::name::{id_type, name_type, text_enum};
use crate::retention::Retention;
use crate::schedule::Schedule;
use crate::target::{Media, TargetName};
use crate::task::{Priority, TaskKind};
use crate::work::Level;

id_type! {
    /// A job's number in the database.
    JobId(i32)
}

name_type! {
    /// A job's name, as people and messages say it.
    JobName
}

/// A job as it is defined and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The name that messages use.
    pub name: JobName,
    /// Who answers for it.
    pub owner: String,
    /// The data and where it lives.
    pub source: Source,
    /// The first takes the backup, the others get copies of it.
    pub targets: Vec<TargetName>,
    /// The recovery point objective: how old the newest restore point may be.
    #[serde(with = "humantime_serde")]
    pub rpo: Duration,
    /// The recovery time objective: how long a restore may take, compared with what restore tests measure.
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Duration>,
    /// The priority of the tasks that the job causes.
    pub priority: Priority,
    /// How old each level of verification may be.
    pub verify: VerifyWindows,
    /// When each of its copies is verified by itself, beside what follows a new restore point anyway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verify_schedules: BTreeMap<Level, Schedule>,
    /// How often and how long tasks of a kind are tried, where the job has its own opinion.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tries: BTreeMap<TaskKind, TryLimits>,
    /// Three backups instead of two, and only evidence that Holdfast itself observed.
    pub strict: bool,
    /// An inactive job takes no tasks.
    pub active: bool,
    /// When it is backed up by itself; without it only when somebody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What it keeps of its restore points; without it all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Words by which it is grouped, 20 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// How strict the rules of alerts are about it, where it has its own opinion.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alerts: BTreeMap<Rule, Setting>,
    /// From which rules of compliance it is excepted, one for each at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

impl Job {
    /// The target that takes the backup itself.
    #[must_use]
    pub fn primary(&self) -> Option<&TargetName> {
        self.targets.first()
    }
}

/// How often and how long a task may be tried; what is absent is left to the worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryLimits {
    /// Attempts before the task is dead, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u16>,
    /// How long one attempt may take.
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// The data of a job and the place where it lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What it is.
    #[serde(flatten)]
    pub data: SourceData,
    /// Where it is: production data counts as one copy.
    pub place: Place,
}

/// What a job backs up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceData {
    /// Files and directories of the worker's machine.
    Files {
        /// Absolute paths.
        paths: Vec<String>,
        /// Globs that leave entries out.
        exclude: Vec<String>,
        /// Which files the manifest holds a hash of.
        hashes: Hashes,
    },
    /// Whatever another system backs up by itself, and reports.
    Reported,
    /// Pretended work for load tests: the whole pipeline runs, only the engine does not.
    Simulated {
        /// How long one operation takes.
        #[serde(with = "humantime_serde")]
        duration: Duration,
        /// The share of attempts that fail, 0 to 1.
        failure_rate: f64,
        /// The size that a restore point claims, in bytes.
        bytes: u64,
        /// Whether each attempt ends its process, as a poison task would.
        #[serde(default)]
        aborts: bool,
    },
}

text_enum! {
    /// Which files of the source the manifest holds a SHA-256 of.
    Hashes {
        /// A seeded, bounded sample.
        Sample = "sample",
        /// Every file.
        All = "all",
    }
}

/// Where data lives, as far as a disaster is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The building; two places of one name burn down together.
    pub site: String,
    /// The cloud region, when the place is in a cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The cloud account, when the place is in a cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What fails together: an array, a host.
    pub failure_domain: String,
    /// The class of medium.
    pub media: Media,
}

/// How old evidence of each level may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyWindows {
    /// A structure check must follow the newest restore point anyway; this also bounds its age.
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<Duration>,
    /// All data read back and its hashes checked.
    #[serde(with = "humantime_serde")]
    pub read: Duration,
    /// Restored and compared with the source manifest.
    #[serde(with = "humantime_serde")]
    pub restore: Duration,
}
