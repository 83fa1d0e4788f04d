//! What is wrong now, rule by rule. Each reads a bounded amount, and what one cannot read keeps no other from being looked at.

mod backups;
mod database;
mod targets;
mod unusual;
mod verdicts;
mod work;

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};
use deadpool_postgres::GenericClient;
use shared::alert::{Effective, Rule, Settings};
use shared::db::Error;

use super::finding::Finding;
use super::jobs::{JobFacts, Jobs};
use crate::events;
use crate::metrics::Pressure;

/// What rules are looked at with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) jobs: &'a Jobs,
    /// Of the pools; `None` while nothing is known of them.
    pub(super) pressure: Option<&'a Pressure>,
    pub(super) now: DateTime<Utc>,
}

/// What is wrong, and by which of the rules anybody could look.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    pub(super) judged: BTreeSet<Rule>,
}

/// Looks at all rules.
pub(super) async fn find<C: GenericClient>(client: &C, context: &Context<'_>) -> Found {
    let mut found = Found::default();
    let backups = [
        Rule::BackupFailed,
        Rule::BackupsFailing,
        Rule::BackupWarnings,
        Rule::DurationUnusual,
        Rule::SizeUnusual,
    ];
    found.take(&backups, backups::health(client, context).await);
    found.take(&[Rule::NoRecentBackup], backups::recency(client, context).await);
    found.take(&[Rule::SuccessRate], backups::success_rate(client, context).await);
    let verdicts =
        [Rule::VerdictFailing, Rule::VerdictUnknown, Rule::VerdictExpiring, Rule::VerificationOverdue];
    found.take(&verdicts, Ok(verdicts::find(context)));
    if let Some(pressure) = context.pressure {
        found.take(&[Rule::Backlog], Ok(work::backlog(pressure, context)));
        found.take(&[Rule::TaskStuck], work::stuck(client, pressure, context).await);
    }
    found.take(&[Rule::WorkerLost], work::lost_workers(client, context).await);
    found.take(&[Rule::ProducerLost], work::lost_producers(client, context).await);
    found.take(&[Rule::DeadTasks], work::dead(client, context).await);
    found.take(&[Rule::TargetFailing], targets::failing(client, context).await);
    found.take(&[Rule::DatabaseOldTransaction], database::old_transaction(client, context).await);
    found.take(&[Rule::DatabaseBlocked], database::blocked(client, context).await);
    found.take(&[Rule::DefaultPartition], database::default_partition(client, context).await);
    found
}

impl Found {
    /// All but what some rules found.
    pub(super) fn without(mut self, rules: &HashSet<Rule>) -> Self {
        self.findings.retain(|finding| !rules.contains(&finding.about.rule));
        self.judged.retain(|rule| !rules.contains(rule));
        self
    }

    /// Takes what some rules found; a rule that is switched off finds nothing.
    fn take(&mut self, rules: &[Rule], findings: Result<Vec<Finding>, Error>) {
        match findings {
            Ok(findings) => {
                self.judged.extend(rules);
                self.findings.extend(findings);
            }
            Err(error) => events::rule_failed(rules, &error),
        }
    }
}

impl Context<'_> {
    /// What counts for a rule; `None` if it is switched off.
    fn setting(&self, rule: Rule) -> Option<Effective> {
        Some(self.settings.of(rule, None)).filter(|setting| setting.enabled)
    }

    /// What counts for a rule and a job; `None` if it is switched off.
    fn of_job(&self, rule: Rule, job: &JobFacts) -> Option<Effective> {
        Some(self.settings.of(rule, job.alerts.get(&rule))).filter(|setting| setting.enabled)
    }
}

/// A moment in UTC, to the second.
fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
