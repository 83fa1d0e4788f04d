//! Of which alerts nobody is told: another one explains them, a person silenced them, or it is the time of a maintenance window.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use shared::alert::{Maintenance, Rule, Subject, SuppressedBy, Transition};
use shared::db::alert::About;
use shared::db::silence::Silence;

use super::finding::cause;
use super::jobs::Jobs;
use super::life::Step;

/// What can keep people from being told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet<'a> {
    pub(super) silences: &'a [Silence],
    pub(super) windows: &'a [Maintenance],
    /// Silences and windows that cannot be read, as they are written where they suppress something: nobody knows whether that is over.
    pub(super) unread: &'a HashSet<String>,
    pub(super) jobs: &'a Jobs,
    pub(super) now: DateTime<Utc>,
}

impl Quiet<'_> {
    /// Decides about all alerts that are open after their steps. One that is pending is told to nobody anyway, one that is over keeps
    /// what was said of it, and so does one that cannot be decided about.
    pub(super) fn apply(&self, steps: &mut [Step]) {
        let open: HashSet<String> =
            steps.iter().filter(|step| step.is_open()).map(|step| step.about.cause.clone()).collect();
        let windows: Vec<&Maintenance> =
            self.windows.iter().filter(|window| window.lasts_at(self.now)).collect();
        for step in steps.iter_mut().filter(|step| step.is_open()) {
            let opens = step.opens();
            let by = self.suppresses(&step.about, &windows, |cause| open.contains(cause));
            let Some(life) = &mut step.life else { continue };
            let is_unread = |by: &SuppressedBy| self.unread.contains(&by.to_string());
            if step.about.job.is_some_and(|job| self.jobs.is_unreadable(job))
                || life.suppressed_by.as_ref().is_some_and(is_unread)
            {
                continue;
            }
            match (&life.suppressed_by, &by) {
                (None, Some(_)) if !opens => step.transitions.push(Transition::Suppressed),
                (Some(_), None) if !opens => step.transitions.push(Transition::Released),
                _ => {}
            }
            life.suppressed_by = by;
        }
    }

    fn suppresses(
        &self,
        about: &About,
        windows: &[&Maintenance],
        is_open: impl Fn(&str) -> bool,
    ) -> Option<SuppressedBy> {
        if let Some(cause) = self.explanations(about).into_iter().find(|cause| is_open(cause)) {
            return Some(SuppressedBy::Alert(cause));
        }
        let job = about.job.and_then(|job| self.jobs.get(job));
        let target = about.target.and_then(|target| self.jobs.target(target));
        let subject = Subject {
            rule: about.rule,
            severity: about.severity,
            job: job.map(|job| &job.name),
            target: target.or_else(|| job.and_then(|job| job.targets.first())),
            owner: about.owner.as_deref(),
            tags: job.map_or(&[][..], |job| job.tags.as_slice()),
        };
        let lasts = |silence: &&Silence| silence.starts_at <= self.now && self.now < silence.ends_at;
        let mut silences = self.silences.iter().filter(lasts);
        if let Some(silence) = silences.find(|silence| silence.matcher.matches(&subject)) {
            return Some(SuppressedBy::Silence(silence.id));
        }
        let window = windows.iter().find(|window| window.matches(&subject));
        window.map(|window| SuppressedBy::Maintenance(window.name.clone()))
    }

    /// The causes that explain an alert, if they are open.
    fn explanations(&self, about: &About) -> Vec<String> {
        let Some(job) = about.job.and_then(|job| self.jobs.get(job)) else { return Vec::new() };
        let target = job.targets.first().map(|target| cause(Rule::TargetFailing, target.as_str()));
        match about.rule {
            Rule::BackupFailed => {
                target.into_iter().chain([cause(Rule::BackupsFailing, job.name.as_str())]).collect()
            }
            Rule::BackupsFailing | Rule::NoRecentBackup => target.into_iter().collect(),
            _ => Vec::new(),
        }
    }
}
