//! Definitions as users write them: what `producer export` prints, what differences are told in, and what the JSON Schema
//! describes. What users may leave out is spelled out, unless it is nothing.

mod values;

mod alert;
mod channel;
mod exception;
mod job;
mod limit;
mod retention;
mod route;
mod schedule;
mod secret;
mod target;
mod upkeep;

mod text;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use shared::alert::Rule;

pub use alert::{Maintenance, Setting};
pub use channel::Channel;
pub use job::Job;
pub use limit::{OtherLimit, TargetLimits, limit};
pub use retention::Retention;
pub use route::Route;
pub use schedule::{Report, Schedule};
pub use secret::Secret;
pub use target::Target;
pub use text::{json, yaml};
pub use upkeep::Upkeep;
pub use values::{Length, Size};

/// Definitions of targets, jobs, limits, reports, of how strict the rules of alerts are, and of who is told of them.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Holdfast definitions")]
pub struct File {
    /// Places that hold copies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub targets: Vec<Target>,
    /// What is backed up, where its copies go, and which rules it must keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub jobs: Vec<Job>,
    /// How often, how many at once, and how fast work may go on that has a pool, a source or an owner in common. What limits a
    /// target stands below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub limits: Vec<OtherLimit>,
    /// Reports that are made again and again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub reports: Vec<Report>,
    /// Upkeep of the database that is done again and again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub upkeep: Vec<Upkeep>,
    /// How strict rules of alerts are, where it is not as built in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "alert::rules")]
    pub alerts: BTreeMap<Rule, Setting>,
    /// When nobody is told about some alerts, again and again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub maintenance: Vec<Maintenance>,
    /// Ways by which people and other systems are told of alerts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub channels: Vec<Channel>,
    /// Which alerts are told by which channels; without any, nobody is told of anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub routes: Vec<Route>,
}
