//! Jobs as users write them.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use shared::alert::{Rule, Tag};
use shared::compliance::{DEFAULT_RPO, READ_WINDOW, RESTORE_WINDOW};
use shared::job::{self, Hashes, JobName, SourceData};
use shared::task::{Priority, TaskKind};
use shared::work::Level;

use super::alert::{Setting, job_rules, settings, tags};
use super::exception::{Exception, exceptions};
use super::target::Place;
use super::values::{Length, Size, delay, excludes, keyed, name, named, paths, targets, text, words};
use super::{Retention, Schedule};

/// What is backed up, where its copies go, and which rules it must keep.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Job {
    /// The name that messages use.
    #[schemars(schema_with = "name")]
    name: JobName,
    /// Who answers for it.
    #[schemars(schema_with = "text")]
    owner: String,
    /// The data, and where it lives: production counts as one copy.
    source: Source,
    /// The first takes the backup, the others get copies of it.
    #[schemars(schema_with = "targets")]
    targets: Vec<String>,
    /// When it is backed up by itself, or `manual`: only when somebody asks.
    #[schemars(default = "manual")]
    schedule: WhenBackedUp,
    /// How many restore points each target keeps; all of them, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Retention")]
    retention: Option<Retention>,
    /// The recovery point objective: how old the newest restore point may be.
    #[schemars(default = "rpo")]
    rpo: Length,
    /// The recovery time objective: how long a restore may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Length")]
    rto: Option<Length>,
    /// The priority of the job's tasks, and the highest that messages may ask for.
    #[schemars(default = "normal", schema_with = "priorities")]
    priority: Priority,
    /// How old each level of verification may be, and when it is due by itself.
    #[schemars(default = "verify")]
    verify: Verify,
    /// How often and how long tasks of a kind are tried, where the job has its own opinion.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "tries")]
    tries: BTreeMap<TaskKind, Tries>,
    /// Three backups instead of two, and only evidence that Holdfast itself observed.
    #[schemars(default)]
    strict: bool,
    /// An inactive job takes no tasks.
    #[schemars(default = "active")]
    active: bool,
    /// Words by which jobs are grouped, for routes and silences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "tags")]
    tags: Vec<Tag>,
    /// How strict rules of alerts are about this job, where it is not as for all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "job_rules")]
    alerts: BTreeMap<Rule, Setting>,
    /// From which rules of compliance it is excepted for a while, one for each at most. No verdict is changed by that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "exceptions")]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
enum Source {
    /// Files and directories of the workers' machines.
    Files {
        /// Absolute paths.
        #[schemars(schema_with = "paths")]
        paths: Vec<String>,
        /// Globs that leave entries out.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(default, schema_with = "excludes")]
        exclude: Vec<String>,
        /// Which files the manifest holds a hash of.
        #[schemars(default = "sample", schema_with = "hashes")]
        hashes: Hashes,
        #[serde(flatten)]
        place: Place,
    },
    /// Another system backs it up, and reports that.
    Reported {
        #[serde(flatten)]
        place: Place,
    },
    /// Pretended work for load tests.
    Simulated {
        /// How long one operation takes.
        #[schemars(default = "at_once", schema_with = "delay")]
        duration: Length,
        /// The share of attempts that fail.
        #[schemars(default, range(min = 0, max = 1))]
        failure_rate: f64,
        /// The size that a restore point claims.
        #[schemars(default = "nothing")]
        bytes: Size,
        /// Whether each attempt ends its process.
        #[schemars(default)]
        aborts: bool,
        #[serde(flatten)]
        place: Place,
    },
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum WhenBackedUp {
    Manual(Manual),
    Scheduled(Box<Schedule>),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Manual {
    Manual,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Verify {
    /// A structure check follows each restore point anyway; this also bounds its age.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Length")]
    structure: Option<Length>,
    /// All data read back and its hashes checked: 30d at most.
    #[schemars(default = "read")]
    read: Length,
    /// Restored and compared with the source's manifest: 90d at most.
    #[schemars(default = "restore")]
    restore: Length,
    /// When each of the job's copies is verified by itself, by level.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "levels")]
    schedule: BTreeMap<Level, Schedule>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Tries {
    /// Attempts before a task is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u16", range(min = 1, max = 100))]
    attempts: Option<u16>,
    /// How long one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Length")]
    timeout: Option<Length>,
}

impl From<&job::Job> for Job {
    fn from(job: &job::Job) -> Self {
        // Whatever a job comes to have has to be written as well.
        let job::Job {
            name,
            owner,
            source,
            targets,
            rpo,
            rto,
            priority,
            verify,
            verify_schedules,
            tries,
            strict,
            active,
            schedule,
            retention,
            tags,
            alerts,
            exceptions,
        } = job;
        let scheduled =
            |schedule: &shared::schedule::Schedule| WhenBackedUp::Scheduled(Box::new(schedule.into()));
        Self {
            name: name.clone(),
            owner: owner.clone(),
            source: source.into(),
            targets: named(targets),
            schedule: schedule.as_ref().map_or_else(manual, scheduled),
            retention: retention.as_ref().map(Retention::from),
            rpo: Length(*rpo),
            rto: rto.map(Length),
            priority: *priority,
            verify: Verify {
                structure: verify.structure.map(Length),
                read: Length(verify.read),
                restore: Length(verify.restore),
                schedule: verify_schedules
                    .iter()
                    .map(|(level, schedule)| (*level, schedule.into()))
                    .collect(),
            },
            tries: tries.iter().map(|(kind, tries)| (*kind, tries.into())).collect(),
            strict: *strict,
            active: *active,
            tags: tags.clone(),
            alerts: settings(alerts),
            exceptions: exceptions.iter().map(Exception::from).collect(),
        }
    }
}

impl From<&job::Source> for Source {
    fn from(source: &job::Source) -> Self {
        let place = (&source.place).into();
        match &source.data {
            SourceData::Files { paths, exclude, hashes } => {
                Self::Files { paths: paths.clone(), exclude: exclude.clone(), hashes: *hashes, place }
            }
            SourceData::Reported => Self::Reported { place },
            SourceData::Simulated { duration, failure_rate, bytes, aborts } => Self::Simulated {
                duration: Length(*duration),
                failure_rate: *failure_rate,
                bytes: Size(*bytes),
                aborts: *aborts,
                place,
            },
        }
    }
}

impl From<&job::TryLimits> for Tries {
    fn from(limits: &job::TryLimits) -> Self {
        Self { attempts: limits.attempts, timeout: limits.timeout.map(Length) }
    }
}

fn manual() -> WhenBackedUp {
    WhenBackedUp::Manual(Manual::Manual)
}

fn rpo() -> Length {
    Length(DEFAULT_RPO)
}

fn read() -> Length {
    Length(READ_WINDOW)
}

fn restore() -> Length {
    Length(RESTORE_WINDOW)
}

fn verify() -> Verify {
    Verify { structure: None, read: read(), restore: restore(), schedule: BTreeMap::new() }
}

fn normal() -> Priority {
    Priority::Normal
}

fn active() -> bool {
    true
}

fn sample() -> Hashes {
    Hashes::Sample
}

fn at_once() -> Length {
    Length(std::time::Duration::ZERO)
}

fn nothing() -> Size {
    Size(0)
}

fn priorities(_: &mut SchemaGenerator) -> Schema {
    words(Priority::ALL)
}

fn hashes(_: &mut SchemaGenerator) -> Schema {
    words(Hashes::ALL)
}

fn tries(generator: &mut SchemaGenerator) -> Schema {
    keyed::<_, Tries>(TaskKind::ALL.iter().filter(|kind| kind.needs_job()), generator)
}

fn levels(generator: &mut SchemaGenerator) -> Schema {
    keyed::<_, Schedule>(Level::ALL, generator)
}
