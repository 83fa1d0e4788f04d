//! Writes what a plan says, in batches.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use shared::channel::{Channel, ChannelName};
use shared::db::audit::Actor;
use shared::db::schedule::{self, Defined};
use shared::db::{
    self, alert_setting, channel, compliance, job, leftover, limit, maintenance, route, target,
};
use shared::job::{Job, JobId, JobName};
use shared::limit::{Key, Limit};
use shared::route::{Route, RouteName};
use shared::target::{Target, TargetId, TargetName};
use shared::task::TaskKind;
use shared::work::ReportName;
use shared::work::maintain::UpkeepName;

use super::{Change, Plan, schedules};
use crate::definitions::{Report, Upkeep};

impl Plan<'_> {
    /// Writes all of it, in the name of `actor`; the transaction is that in which the stored definitions were locked. Jobs that
    /// are affected are judged again.
    ///
    /// # Errors
    /// The database's.
    pub async fn apply(&self, transaction: &Transaction<'_>, actor: &Actor) -> Result<(), db::Error> {
        let by = &actor.name;
        let targets: Vec<&Target> = written(&self.definitions.targets, &self.targets).collect();
        let target_ids = self.write_targets(transaction, &targets).await?;
        let jobs = self.definitions.jobs.iter().map(|defined| &defined.job);
        let jobs: Vec<&Job> = written(jobs, &self.jobs).collect();
        let job_ids = write_jobs(transaction, &jobs, &target_ids).await?;
        let gone: Vec<JobId> =
            removed(&self.jobs).filter_map(|name| Some(self.stored.jobs.get(name)?.id)).collect();
        self.schedule(transaction, &jobs, &job_ids, &gone).await?;
        self.change_alerts(transaction).await?;
        self.change_notifications(transaction).await?;

        // No claim is under way from here on where limits change or tasks are cancelled: before, this and a claim could wait for
        // each other, and what a claim has wait could be missed.
        let limits = self.change_limits(transaction, by).await?;
        self.take_away(transaction, &gone, by).await?;
        let affected = self.affected(&targets, &gone);
        let judged: BTreeSet<JobId> = job_ids.into_values().chain(affected).collect();
        let judged: Vec<JobId> = judged.into_iter().collect();
        // What is not committed yet must not be kept in memory.
        let current = db::definition::Definitions::default();
        if !judged.is_empty() {
            compliance::judge_again(transaction, &current, &judged).await?;
        }
        self.audit(transaction, actor).await?;
        match limits {
            Some(changed) => changed.finish(transaction).await,
            None => Ok(()),
        }
    }

    /// Returns the numbers of all targets.
    async fn write_targets(
        &self,
        transaction: &Transaction<'_>,
        targets: &[&Target],
    ) -> Result<HashMap<TargetName, TargetId>, db::Error> {
        let stored = self.stored.targets.iter().map(|(name, stored)| (name.clone(), stored.id));
        let mut ids: HashMap<TargetName, TargetId> = stored.collect();
        if !targets.is_empty() {
            ids.extend(target::upsert(transaction, targets).await?);
        }
        Ok(ids)
    }

    /// Has jobs, reports and upkeep done when they say, from now on.
    async fn schedule(
        &self,
        transaction: &Transaction<'_>,
        jobs: &[&Job],
        ids: &HashMap<JobName, JobId>,
        gone: &[JobId],
    ) -> Result<(), db::Error> {
        let of_jobs = jobs.iter().filter_map(|job| Some(schedules::of_job(job, *ids.get(&job.name)?)));
        let mut defined: Vec<Defined<'_>> = of_jobs.flatten().collect();
        let changed: Vec<JobId> = ids.values().chain(gone).copied().collect();
        if !changed.is_empty() {
            schedule::retain(transaction, &changed, &defined).await?;
        }
        let reports: Vec<&Report> = written(&self.definitions.reports, &self.reports).collect();
        defined.extend(reports.into_iter().map(schedules::of_report));
        let upkeep: Vec<&Upkeep> = written(&self.definitions.upkeep, &self.upkeep).collect();
        defined.extend(upkeep.into_iter().map(schedules::of_upkeep));
        if !defined.is_empty() {
            schedule::upsert(transaction, &defined, db::now(transaction).await?).await?;
        }
        let unreported: Vec<&str> = removed(&self.reports).map(ReportName::as_str).collect();
        if !unreported.is_empty() {
            schedule::remove(transaction, TaskKind::Report, &unreported).await?;
        }
        let ended: Vec<&str> = removed(&self.upkeep).map(UpkeepName::as_str).collect();
        if !ended.is_empty() {
            schedule::remove(transaction, TaskKind::Maintain, &ended).await?;
        }
        Ok(())
    }

    async fn change_alerts(&self, transaction: &Transaction<'_>) -> Result<(), db::Error> {
        let set: Vec<_> = written(&self.definitions.alerts, &self.alerts).copied().collect();
        let unset: Vec<_> = removed(&self.alerts).copied().collect();
        if !set.is_empty() || !unset.is_empty() {
            alert_setting::change(transaction, &set, &unset).await?;
        }
        let set: Vec<_> = written(&self.definitions.maintenance, &self.maintenance).collect();
        let unset: Vec<_> = removed(&self.maintenance).cloned().collect();
        if !set.is_empty() || !unset.is_empty() {
            maintenance::change(transaction, &set, &unset).await?;
        }
        Ok(())
    }

    /// Who is told of alerts, from now on.
    async fn change_notifications(&self, transaction: &Transaction<'_>) -> Result<(), db::Error> {
        let channels: Vec<&Channel> = written(&self.definitions.channels, &self.channels).collect();
        let routes: Vec<&Route> = written(&self.definitions.routes, &self.routes).collect();
        let gone_channels: Vec<&str> = removed(&self.channels).map(ChannelName::as_str).collect();
        let gone_routes: Vec<&str> = removed(&self.routes).map(RouteName::as_str).collect();
        channel::upsert(transaction, &channels).await?;
        route::upsert(transaction, &routes).await?;
        route::remove(transaction, &gone_routes).await?;
        channel::remove(transaction, &gone_channels).await
    }

    async fn change_limits(
        &self,
        transaction: &Transaction<'_>,
        by: &str,
    ) -> Result<Option<limit::Changed>, db::Error> {
        let set: Vec<(Key, Limit)> = written(&self.definitions.limits, &self.limits).cloned().collect();
        let removed: Vec<Key> = removed(&self.limits).cloned().collect();
        if set.is_empty() && removed.is_empty() && !self.takes_away() {
            return Ok(None);
        }
        limit::change(transaction, limit::Origin::Definitions, &set, &removed, by).await.map(Some)
    }

    fn takes_away(&self) -> bool {
        removed(&self.jobs).next().is_some() || removed(&self.targets).next().is_some()
    }

    async fn take_away(
        &self,
        transaction: &Transaction<'_>,
        jobs: &[JobId],
        by: &str,
    ) -> Result<(), db::Error> {
        if !self.takes_away() {
            return Ok(());
        }
        let targets: Vec<TargetName> = removed(&self.targets).cloned().collect();
        let ids: Vec<TargetId> =
            targets.iter().filter_map(|name| Some(self.stored.targets.get(name)?.id)).collect();
        job::remove(transaction, jobs).await?;
        target::remove(transaction, &ids).await?;
        leftover::cancel(transaction, jobs, &targets, by).await
    }

    /// The stored jobs that use targets that were changed.
    fn affected(&self, targets: &[&Target], gone: &[JobId]) -> impl Iterator<Item = JobId> {
        let changed: BTreeSet<&TargetName> = targets.iter().map(|target| &target.name).collect();
        let jobs = self.stored.jobs.values().filter(move |stored| {
            stored.job.targets.iter().any(|name| changed.contains(name)) && !gone.contains(&stored.id)
        });
        jobs.map(|stored| stored.id)
    }
}

async fn write_jobs(
    transaction: &Transaction<'_>,
    jobs: &[&Job],
    targets: &HashMap<TargetName, TargetId>,
) -> Result<HashMap<JobName, JobId>, db::Error> {
    if jobs.is_empty() {
        return Ok(HashMap::new());
    }
    let defined = jobs.iter().map(|job| {
        let targets = job.targets.iter().filter_map(|name| targets.get(name).copied()).collect();
        job::Defined { job, targets }
    });
    job::upsert(transaction, &defined.collect::<Vec<_>>()).await
}

/// The definitions that have to be written: changes stand in the order of definitions.
fn written<'a, T, N: 'a>(
    definitions: impl IntoIterator<Item = T>,
    changes: impl IntoIterator<Item = &'a (N, Change)>,
) -> impl Iterator<Item = T> {
    let pairs = definitions.into_iter().zip(changes);
    pairs.filter(|(_, (_, change))| change.writes()).map(|(definition, _)| definition)
}

fn removed<N>(changes: &[(N, Change)]) -> impl Iterator<Item = &N> {
    changes.iter().filter(|(_, change)| matches!(change, Change::Removed(_))).map(|(name, _)| name)
}
