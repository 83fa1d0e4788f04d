//! What earlier definitions have left in the database.

use std::collections::BTreeMap;

use deadpool_postgres::{GenericClient, Transaction};
use shared::alert::{Maintenance, MaintenanceName, Rule, Setting};
use shared::channel::{Channel, ChannelName};
use shared::db::job::StoredJob;
use shared::db::limit::Origin;
use shared::db::target::StoredTarget;
use shared::db::{self, alert_setting, channel, job, limit, maintenance, route, schedule, target};
use shared::job::JobName;
use shared::limit::{Key, Limit};
use shared::route::{Route, RouteName};
use shared::target::TargetName;
use shared::task::TaskKind;
use shared::work::maintain::UpkeepName;
use shared::work::{ReportName, Work};

use crate::definitions::written;
use crate::definitions::{Report, Upkeep};

/// Everything that is defined.
#[derive(Debug, Default)]
pub struct Stored {
    /// Targets.
    pub targets: BTreeMap<TargetName, StoredTarget>,
    /// Jobs.
    pub jobs: BTreeMap<JobName, StoredJob>,
    /// Limits; what a person has put in the place of one does not count here.
    pub limits: BTreeMap<Key, Limit>,
    /// Reports.
    pub reports: BTreeMap<ReportName, Report>,
    /// Upkeep of the database.
    pub upkeep: BTreeMap<UpkeepName, Upkeep>,
    /// Settings of rules of alerts.
    pub alerts: BTreeMap<Rule, Setting>,
    /// Maintenance windows.
    pub maintenance: BTreeMap<MaintenanceName, Maintenance>,
    /// Channels.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// Routes.
    pub routes: BTreeMap<RouteName, Route>,
}

impl Stored {
    /// Reads it, and keeps others from changing it until the transaction ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(transaction: &Transaction<'_>) -> Result<Self, db::Error> {
        job::lock_definitions(transaction).await?;
        Self::read(transaction).await
    }

    /// Reads it, by the snapshot that the client has.
    ///
    /// # Errors
    /// The database's.
    pub async fn read<C: GenericClient>(client: &C) -> Result<Self, db::Error> {
        let targets = target::all(client).await?.into_iter();
        let jobs = job::all(client).await?.into_iter();
        let limits = limit::all(client).await?.into_iter();
        let limits = limits.filter(|setting| setting.origin == Origin::Definitions);
        let schedules = schedule::of_kind(client, TaskKind::Report).await?;
        let upkeep = schedule::of_kind(client, TaskKind::Maintain).await?.into_iter().filter_map(upkeep);
        let windows = maintenance::all(client).await?.all()?.into_iter();
        let channels = channel::all(client).await?.all()?.into_iter();
        let routes = route::all(client).await?.all()?.into_iter();
        Ok(Self {
            targets: targets.map(|stored| (stored.target.name.clone(), stored)).collect(),
            jobs: jobs.map(|stored| (stored.job.name.clone(), stored)).collect(),
            limits: limits.map(|setting| (setting.key, setting.limit)).collect(),
            reports: schedules
                .into_iter()
                .filter_map(report)
                .map(|report| (report.name.clone(), report))
                .collect(),
            upkeep: upkeep.map(|upkeep| (upkeep.name.clone(), upkeep)).collect(),
            alerts: alert_setting::all(client).await?.all()?.into_iter().collect(),
            maintenance: windows.map(|window| (window.name.clone(), window)).collect(),
            channels: channels.map(|channel| (channel.name.clone(), channel)).collect(),
            routes: routes.map(|route| (route.name.clone(), route)).collect(),
        })
    }

    /// A job as users write it.
    #[must_use]
    pub fn written_job(&self, name: &JobName) -> Option<written::Job> {
        self.jobs.get(name).map(|stored| written::Job::from(&stored.job))
    }

    /// A target as users write it, with its limits.
    #[must_use]
    pub fn written_target(&self, name: &TargetName) -> Option<written::Target> {
        let stored = self.targets.get(name)?;
        Some(written::Target::new(&stored.target, self.limits.get(&Key::Target(name.clone()))))
    }

    /// All of it as users write it.
    #[must_use]
    pub fn written(&self) -> written::File {
        let limits = |name: &TargetName| self.limits.get(&Key::Target(name.clone()));
        let targets = self.targets.values();
        written::File {
            targets: targets
                .map(|stored| written::Target::new(&stored.target, limits(&stored.target.name)))
                .collect(),
            jobs: self.jobs.values().map(|stored| written::Job::from(&stored.job)).collect(),
            limits: self
                .limits
                .iter()
                .filter_map(|(key, limit)| written::OtherLimit::new(key, limit))
                .collect(),
            reports: self.reports.values().map(written::Report::from).collect(),
            upkeep: self.upkeep.values().map(written::Upkeep::from).collect(),
            alerts: self.alerts.iter().map(|(rule, setting)| (*rule, setting.into())).collect(),
            maintenance: self.maintenance.values().map(written::Maintenance::from).collect(),
            channels: self.channels.values().map(written::Channel::from).collect(),
            routes: self.routes.values().map(written::Route::from).collect(),
        }
    }
}

/// The report that a schedule makes; `None` where a newer version has written something else.
fn report(stored: schedule::Stored) -> Option<Report> {
    let Ok(Work::Report(params)) = Work::parse(stored.kind, stored.params.json()) else { return None };
    Some(Report { name: stored.name.parse().ok()?, params, schedule: stored.spec })
}

/// The upkeep that a schedule does; `None` where a newer version has written something else.
fn upkeep(stored: schedule::Stored) -> Option<Upkeep> {
    let Ok(Work::Maintain(params)) = Work::parse(TaskKind::Maintain, stored.params.json()) else {
        return None;
    };
    Upkeep::of(stored.name.parse().ok()?, params, stored.spec)
}
