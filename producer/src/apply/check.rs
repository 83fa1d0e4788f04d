//! What definitions demand of each other, and of what is stored already.

use std::collections::{BTreeMap, BTreeSet};

use shared::channel::{Channel, ChannelName, Means};
use shared::job::{Job, JobName};
use shared::limit::Key;
use shared::route::Route;
use shared::target::{Target, TargetName};

use super::{Removals, Stored};
use crate::definitions::{Definitions, Located, Origin, Problems, Report};

/// How many jobs an error names.
const NAMED: usize = 5;

/// Definitions together with what is stored and stays as it is.
pub(super) struct Check<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) stored: &'a Stored,
    pub(super) removals: &'a Removals,
}

impl<'a> Check<'a> {
    /// Notes everything that is wrong.
    pub(super) fn run(&self, problems: &mut Problems) {
        self.targets_exist(problems);
        self.jobs_exist(problems);
        self.repositories_differ(problems);
        self.limited_exist(problems);
        self.removed_targets_are_unused(problems);
        self.channels_exist(problems);
        self.mail_goes_by_mail(problems);
        self.removed_channels_are_unused(problems);
    }

    /// The stored jobs that are neither defined anew nor taken away.
    pub(super) fn other_jobs(&self) -> impl Iterator<Item = &'a Job> {
        let defined = |job: &Job| self.definitions.names.jobs.contains_key(job.name.as_str());
        let jobs = self.stored.jobs.values().map(|stored| &stored.job);
        jobs.filter(move |job| !defined(job) && !self.removals.jobs.contains(&job.name))
    }

    fn jobs(&self) -> impl Iterator<Item = &'a Job> {
        self.definitions.jobs.iter().map(|defined| &defined.job).chain(self.other_jobs())
    }

    fn targets_exist(&self, problems: &mut Problems) {
        let names = &self.definitions.names.targets;
        let exists =
            |name: &TargetName| names.contains_key(name.as_str()) || self.stored.targets.contains_key(name);
        for reference in self.definitions.references.iter().filter(|reference| !exists(&reference.value)) {
            problems.add(reference.at.clone(), format!("no target is named \"{}\"", reference.value));
        }
    }

    fn jobs_exist(&self, problems: &mut Problems) {
        let names = &self.definitions.names.jobs;
        let exists =
            |name: &JobName| names.contains_key(name.as_str()) || self.stored.jobs.contains_key(name);
        let references = self.definitions.job_references.iter();
        for reference in references.filter(|reference| !exists(&reference.value)) {
            problems.add(reference.at.clone(), format!("no job is named \"{}\"", reference.value));
        }
    }

    /// The routes that are there in the end.
    fn routes(&self) -> impl Iterator<Item = &'a Route> {
        let other = |route: &&Route| {
            !self.definitions.names.routes.contains_key(route.name.as_str())
                && !self.removals.routes.contains(&route.name)
        };
        self.definitions.routes.iter().chain(self.stored.routes.values().filter(other))
    }

    /// The reports that are there in the end.
    fn reports(&self) -> impl Iterator<Item = &'a Report> {
        let other = |report: &&Report| {
            !self.definitions.names.reports.contains_key(report.name.as_str())
                && !self.removals.reports.contains(&report.name)
        };
        self.definitions.reports.iter().chain(self.stored.reports.values().filter(other))
    }

    fn channel(&self, name: &ChannelName) -> Option<&'a Channel> {
        let defined = self.definitions.channels.iter().find(|channel| channel.name == *name);
        defined.or_else(|| self.stored.channels.get(name))
    }

    fn mail_goes_by_mail(&self, problems: &mut Problems) {
        let names = &self.definitions.names.channels;
        for Located { value, at } in &self.definitions.mailed {
            match self.channel(value).map(|channel| &channel.means) {
                Some(Means::Email(_)) => {}
                Some(other) => {
                    problems.add(
                        at.clone(),
                        format!("{value} is of the kind {}, reports go by email", other.kind()),
                    );
                }
                None if names.contains_key(value.as_str()) => {}
                None => problems.add(at.clone(), format!("no channel is named \"{value}\"")),
            }
        }
    }

    fn channels_exist(&self, problems: &mut Problems) {
        let names = &self.definitions.names.channels;
        for Located { value, at } in &self.definitions.routed {
            let channel = self.channel(value);
            if channel.is_some_and(|channel| !channel.means.tells_alerts()) {
                problems.add(at.clone(), format!("{value} is a heartbeat, which tells no alerts"));
            } else if channel.is_none() && !names.contains_key(value.as_str()) {
                problems.add(at.clone(), format!("no channel is named \"{value}\""));
            }
        }
    }

    fn removed_channels_are_unused(&self, problems: &mut Problems) {
        for channel in &self.removals.channels {
            let users = self.routes().filter(|route| route.channels.contains(channel));
            let users: Vec<&str> = users.take(NAMED).map(|route| route.name.as_str()).collect();
            let at = || Origin { file: String::new(), line: 0, field: format!("channels.{channel}") };
            if !users.is_empty() {
                problems
                    .add(at(), format!("cannot be removed while routes lead there: {}", users.join(", ")));
            }
            let users = self.reports().filter(|report| report.params.mail_to.contains(channel));
            let users: Vec<&str> = users.take(NAMED).map(|report| report.name.as_str()).collect();
            if !users.is_empty() {
                problems.add(at(), format!("cannot be removed while reports go there: {}", users.join(", ")));
            }
        }
    }

    fn repositories_differ(&self, problems: &mut Problems) {
        let stays = |target: &&Target| {
            !self.definitions.names.targets.contains_key(target.name.as_str())
                && !self.removals.targets.contains(&target.name)
        };
        let kept = self.stored.targets.values().map(|stored| &stored.target).filter(stays);
        let mut owners: BTreeMap<&str, String> = kept
            .map(|target| {
                (target.repository.as_str(), format!("target {}, which is applied already", target.name))
            })
            .collect();
        for located in &self.definitions.repositories {
            let (value, at) = (&located.value, &located.at);
            if let Some(owner) = owners.get(value.as_str()) {
                problems.add(at.clone(), format!("is the same as that of {owner}"));
            } else {
                owners.insert(value, format!("the target at {}:{}", at.file, at.line));
            }
        }
    }

    /// An owner or a source is whatever some job says it is: a new limit on another one is a slip of the pen.
    fn limited_exist(&self, problems: &mut Problems) {
        let owners: BTreeSet<&str> = self.jobs().map(|job| job.owner.as_str()).collect();
        let domains: BTreeSet<&str> =
            self.jobs().map(|job| job.source.place.failure_domain.as_str()).collect();
        let limited = self.definitions.limited.iter();
        for (key, at) in limited.filter(|(key, _)| !self.stored.limits.contains_key(key)) {
            match key {
                Key::Owner(owner) if !owners.contains(owner.as_str()) => {
                    problems.add(at.clone(), "no job has this owner");
                }
                Key::Source(source) if !domains.contains(source.as_str()) => {
                    problems.add(at.clone(), "no job's source has this failure_domain");
                }
                _ => {}
            }
        }
    }

    fn removed_targets_are_unused(&self, problems: &mut Problems) {
        let mut users: BTreeMap<&TargetName, BTreeSet<&str>> = BTreeMap::new();
        for job in self.jobs() {
            for target in job.targets.iter().filter(|target| self.removals.targets.contains(target)) {
                users.entry(target).or_default().insert(job.name.as_str());
            }
        }
        for (target, jobs) in users {
            let more = jobs.len().saturating_sub(NAMED);
            let named: Vec<&str> = jobs.into_iter().take(NAMED).collect();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let at = Origin { file: String::new(), line: 0, field: format!("targets.{target}") };
            problems.add(at, format!("cannot be removed while jobs use it: {}{more}", named.join(", ")));
        }
    }
}
