//! What is to be taken away.

use std::collections::BTreeSet;

use shared::alert::{MaintenanceName, Rule};
use shared::channel::ChannelName;
use shared::job::JobName;
use shared::limit::Key;
use shared::route::RouteName;
use shared::target::TargetName;
use shared::work::ReportName;
use shared::work::maintain::UpkeepName;

use super::Stored;
use crate::definitions::Definitions;

/// What is to be taken away beside what definitions change. What is not stored is passed over.
#[derive(Debug, Clone, Default)]
pub struct Removals {
    /// Jobs: what they left behind stays.
    pub jobs: BTreeSet<JobName>,
    /// Targets that no job has any more, with their limits.
    pub targets: BTreeSet<TargetName>,
    /// Limits.
    pub limits: BTreeSet<Key>,
    /// Reports.
    pub reports: BTreeSet<ReportName>,
    /// Upkeep of the database.
    pub upkeep: BTreeSet<UpkeepName>,
    /// Settings of rules of alerts: what is built in counts again.
    pub alerts: BTreeSet<Rule>,
    /// Maintenance windows.
    pub maintenance: BTreeSet<MaintenanceName>,
    /// Channels that no route leads to any more.
    pub channels: BTreeSet<ChannelName>,
    /// Routes.
    pub routes: BTreeSet<RouteName>,
}

impl Removals {
    /// All that is stored and that definitions do not name. What is wrong is named all the same.
    #[must_use]
    pub fn unnamed(definitions: &Definitions, stored: &Stored) -> Self {
        let names = &definitions.names;
        let jobs = stored.jobs.keys().filter(|name| !names.jobs.contains_key(name.as_str()));
        let targets = stored.targets.keys().filter(|name| !names.targets.contains_key(name.as_str()));
        let limits = stored.limits.keys().filter(|key| !definitions.limited.contains_key(key));
        let reports = stored.reports.keys().filter(|name| !names.reports.contains_key(name.as_str()));
        let upkeep = stored.upkeep.keys().filter(|name| !names.upkeep.contains_key(name.as_str()));
        let alerts = stored.alerts.keys().filter(|rule| !definitions.ruled.contains_key(rule));
        let maintenance =
            stored.maintenance.keys().filter(|name| !names.maintenance.contains_key(name.as_str()));
        let channels = stored.channels.keys().filter(|name| !names.channels.contains_key(name.as_str()));
        let routes = stored.routes.keys().filter(|name| !names.routes.contains_key(name.as_str()));
        Self {
            jobs: jobs.cloned().collect(),
            targets: targets.cloned().collect(),
            limits: limits.cloned().collect(),
            reports: reports.cloned().collect(),
            upkeep: upkeep.cloned().collect(),
            alerts: alerts.copied().collect(),
            maintenance: maintenance.cloned().collect(),
            channels: channels.cloned().collect(),
            routes: routes.cloned().collect(),
        }
    }
}
