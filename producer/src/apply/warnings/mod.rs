//! What keeps nothing from being applied, but is likely not meant: jobs that cannot keep what is demanded of them, and alerts that nobody
//! is told of.

mod alerts;
mod gaps;
mod intervals;
mod rules;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::target::{Target, TargetName};

use super::Stored;
use crate::definitions::{Definitions, Origin};
use gaps::Gaps;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// What cannot be kept: `rpo`, `verify`, one of the five rules; or `maintenance`, `routes`.
    pub rule: &'static str,
    /// Why, for people.
    pub message: String,
}

/// Looks at all that is defined, of jobs at those that are active, in the order of files and lines.
pub(super) fn of(definitions: &Definitions, stored: &Stored, now: DateTime<Utc>) -> Vec<Warning> {
    let mut targets: BTreeMap<&TargetName, &Target> =
        stored.targets.iter().map(|(name, stored)| (name, &stored.target)).collect();
    targets.extend(definitions.targets.iter().map(|target| (&target.name, target)));
    let mut gaps = Gaps::from(now);
    let mut warnings = Vec::new();
    for defined in definitions.jobs.iter().filter(|defined| defined.job.active) {
        let its_targets: Vec<&Target> =
            defined.job.targets.iter().filter_map(|name| targets.get(name).copied()).collect();
        warnings.extend(intervals::rpo(defined, &mut gaps));
        warnings.extend(intervals::verification(defined, &mut gaps));
        warnings.extend(rules::of(defined, &its_targets, now));
    }
    warnings.extend(alerts::windows(definitions));
    warnings.extend(alerts::channels(definitions, stored));
    warnings.sort();
    warnings
}
