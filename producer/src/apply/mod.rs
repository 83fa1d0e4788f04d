//! Brings what is stored to what definitions say: the plan of it, its difference, and its application.
//!
//! Whoever changes definitions, a command or a request, goes this one way, in one transaction:
//! [`Stored::lock`] reads what there is and keeps others from changing it, [`Plan::of`] checks everything and compares,
//! [`Plan::apply`] writes.

mod removals;
mod stored;

mod change;
mod check;
mod warnings;

mod audit;
mod schedules;
mod write;

use std::collections::BTreeSet;

use deadpool_postgres::GenericClient;
use serde::Serialize;
use shared::alert::{MaintenanceName, Rule};
use shared::channel::ChannelName;
use shared::db;
use shared::db::leftover::{self, Leftovers};
use shared::job::{JobId, JobName};
use shared::limit::Key;
use shared::route::RouteName;
use shared::target::TargetName;
use shared::work::ReportName;
use shared::work::maintain::UpkeepName;

pub use change::{Change, Difference};
pub use removals::Removals;
pub use stored::Stored;
pub use warnings::Warning;

use crate::definitions::{DefinedJob, Definitions, Problem, written};
use check::Check;

/// What is to be done, and what it is made from. Definitions come in the order of their texts, removals after them.
#[derive(Debug)]
pub struct Plan<'a> {
    definitions: &'a Definitions,
    stored: &'a Stored,
    /// What becomes of targets.
    pub targets: Vec<(TargetName, Change)>,
    /// What becomes of jobs.
    pub jobs: Vec<(JobName, Change)>,
    /// What becomes of limits.
    pub limits: Vec<(Key, Change)>,
    /// What becomes of reports.
    pub reports: Vec<(ReportName, Change)>,
    /// What becomes of upkeep of the database.
    pub upkeep: Vec<(UpkeepName, Change)>,
    /// What becomes of the settings of rules of alerts.
    pub alerts: Vec<(Rule, Change)>,
    /// What becomes of maintenance windows.
    pub maintenance: Vec<(MaintenanceName, Change)>,
    /// What becomes of channels.
    pub channels: Vec<(ChannelName, Change)>,
    /// What becomes of routes.
    pub routes: Vec<(RouteName, Change)>,
    /// What keeps nothing from being applied, but is likely not meant.
    pub warnings: Vec<Warning>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Definitions are wrong: all of what is, in the order of files and lines.
    #[error("{} problems in the definitions", .0.len())]
    Problems(Vec<Problem>),
    /// The database does not answer, or what it holds cannot be read.
    #[error(transparent)]
    Failed(#[from] db::Error),
}

impl<'a> Plan<'a> {
    /// Checks definitions together with what is stored, which the client's transaction has locked, and compares the two. What
    /// is not defined stays as it is unless it is among the removals.
    ///
    /// # Errors
    /// Everything that is wrong at once, or the database's.
    pub async fn of<C: GenericClient>(
        client: &C,
        definitions: &'a Definitions,
        removals: &Removals,
        stored: &'a Stored,
    ) -> Result<Self, Refused> {
        let problems = problems(definitions, removals, stored);
        if !problems.is_empty() {
            return Err(Refused::Problems(problems));
        }
        let mut plan = Self::compare(definitions, stored);
        plan.remove(client, removals).await?;
        plan.warnings = warnings::of(definitions, stored, db::now(client).await?);
        Ok(plan)
    }

    fn compare(definitions: &'a Definitions, stored: &'a Stored) -> Self {
        let targets = definitions.targets.iter().map(|target| {
            let before = stored.targets.get(&target.name).map(|stored| &stored.target);
            (target.name.clone(), compared(before, target, |target| written::Target::new(target, None)))
        });
        let jobs = definitions.jobs.iter().map(|DefinedJob { job, .. }| {
            let before = stored.jobs.get(&job.name).map(|stored| &stored.job);
            (job.name.clone(), compared(before, job, |job| written::Job::from(job)))
        });
        let limits = definitions.limits.iter().map(|(key, limit)| {
            let before = stored.limits.get(key);
            (key.clone(), compared(before, limit, |limit| written::limit(key, limit)))
        });
        let reports = definitions.reports.iter().map(|report| {
            let before = stored.reports.get(&report.name);
            (report.name.clone(), compared(before, report, |report| written::Report::from(report)))
        });
        let upkeep = definitions.upkeep.iter().map(|upkeep| {
            let before = stored.upkeep.get(&upkeep.name);
            (upkeep.name.clone(), compared(before, upkeep, |upkeep| written::Upkeep::from(upkeep)))
        });
        let alerts = definitions.alerts.iter().map(|(rule, setting)| {
            let before = stored.alerts.get(rule);
            (*rule, compared(before, setting, |setting| written::Setting::from(setting)))
        });
        let maintenance = definitions.maintenance.iter().map(|window| {
            let before = stored.maintenance.get(&window.name);
            (window.name.clone(), compared(before, window, |window| written::Maintenance::from(window)))
        });
        let channels = definitions.channels.iter().map(|channel| {
            let before = stored.channels.get(&channel.name);
            (channel.name.clone(), compared(before, channel, |channel| written::Channel::from(channel)))
        });
        let routes = definitions.routes.iter().map(|route| {
            let before = stored.routes.get(&route.name);
            (route.name.clone(), compared(before, route, |route| written::Route::from(route)))
        });
        Self {
            targets: targets.collect(),
            jobs: jobs.collect(),
            limits: limits.collect(),
            reports: reports.collect(),
            upkeep: upkeep.collect(),
            alerts: alerts.collect(),
            maintenance: maintenance.collect(),
            channels: channels.collect(),
            routes: routes.collect(),
            definitions,
            stored,
            warnings: Vec::new(),
        }
    }

    /// Adds what is taken away.
    async fn remove<C: GenericClient>(&mut self, client: &C, removals: &Removals) -> Result<(), db::Error> {
        let (definitions, stored) = (self.definitions, self.stored);
        let jobs: Vec<(&JobName, JobId)> =
            removals.jobs.iter().filter_map(|name| Some((name, stored.jobs.get(name)?.id))).collect();
        let targets = removals.targets.iter().filter(|name| stored.targets.contains_key(name));
        let targets: Vec<TargetName> = targets.cloned().collect();
        let ids: Vec<JobId> = jobs.iter().map(|(_, id)| *id).collect();
        let left = if ids.is_empty() && targets.is_empty() {
            Leftovers::default()
        } else {
            leftover::count(client, &ids, &targets).await?
        };
        let of_job = |id: JobId| left.jobs.get(&id).copied().unwrap_or_default();
        self.jobs.extend(jobs.into_iter().map(|(name, id)| (name.clone(), Change::Removed(of_job(id)))));

        // A target that is defined without limits has none, and neither has one that is gone.
        let unlimited = definitions.targets.iter().map(|target| &target.name).chain(&targets);
        let unlimited = unlimited.map(|target| Key::Target(target.clone()));
        let unlimited = unlimited.filter(|key| !definitions.limited.contains_key(key));
        let limits: BTreeSet<Key> = unlimited.chain(removals.limits.iter().cloned()).collect();
        let limits = limits.into_iter().filter(|key| stored.limits.contains_key(key));
        self.limits.extend(limits.map(|key| (key, Change::REMOVED)));

        let reports = removals.reports.iter().filter(|name| stored.reports.contains_key(name));
        self.reports.extend(reports.map(|name| (name.clone(), Change::REMOVED)));
        let upkeep = removals.upkeep.iter().filter(|name| stored.upkeep.contains_key(name));
        self.upkeep.extend(upkeep.map(|name| (name.clone(), Change::REMOVED)));
        let rules = removals.alerts.iter().filter(|rule| stored.alerts.contains_key(rule));
        self.alerts.extend(rules.map(|rule| (*rule, Change::REMOVED)));
        let windows = removals.maintenance.iter().filter(|name| stored.maintenance.contains_key(name));
        self.maintenance.extend(windows.map(|name| (name.clone(), Change::REMOVED)));
        let routes = removals.routes.iter().filter(|name| stored.routes.contains_key(name));
        self.routes.extend(routes.map(|name| (name.clone(), Change::REMOVED)));
        let channels = removals.channels.iter().filter(|name| stored.channels.contains_key(name));
        self.channels.extend(channels.map(|name| (name.clone(), Change::REMOVED)));
        self.targets.extend(targets.into_iter().map(|target| {
            let left = left.targets.get(&target).copied().unwrap_or_default();
            (target, Change::Removed(left))
        }));
        Ok(())
    }
}

/// Everything that is wrong, in the order of files and lines.
pub(crate) fn problems(definitions: &Definitions, removals: &Removals, stored: &Stored) -> Vec<Problem> {
    let mut problems = definitions.problems.clone();
    Check { definitions, stored, removals }.run(&mut problems);
    problems.into_sorted()
}

/// What is equal is not written out to be compared: of many definitions most are.
fn compared<T: PartialEq, W: Serialize>(
    stored: Option<&T>,
    defined: &T,
    written: impl Fn(&T) -> W,
) -> Change {
    if stored == Some(defined) {
        return Change::Unchanged;
    }
    Change::between(stored.map(&written), &written(defined))
}

#[cfg(test)]
mod tests;
