//! What of a plan goes into the audit: each definition that changes, before and after.

use std::fmt::Display;

use deadpool_postgres::Transaction;
use serde_json::Value;
use shared::db;
use shared::db::audit::{self, Actor, Entry};

use super::{Change, Plan};
use crate::definitions::written;

/// A definition that changes.
struct Changed {
    subject: &'static str,
    name: String,
    action: &'static str,
    before: Option<Value>,
    after: Option<Value>,
}

impl Plan<'_> {
    /// Writes down what changes.
    pub(super) async fn audit(&self, transaction: &Transaction<'_>, actor: &Actor) -> Result<(), db::Error> {
        let (stored, defined) = (self.stored, self.definitions);
        let target = |target| Some(json(&written::Target::new(target, None)));
        let targets = changed(
            "target",
            &self.targets,
            |name| stored.targets.get(name).and_then(|stored| target(&stored.target)),
            |number| defined.targets.get(number).and_then(target),
        );
        let jobs = changed(
            "job",
            &self.jobs,
            |name| stored.jobs.get(name).map(|stored| json(&written::Job::from(&stored.job))),
            |number| defined.jobs.get(number).map(|defined| json(&written::Job::from(&defined.job))),
        );
        let limits = changed(
            "limit",
            &self.limits,
            |key| stored.limits.get(key).map(|limit| json(&written::limit(key, limit))),
            |number| defined.limits.get(number).map(|(key, limit)| json(&written::limit(key, limit))),
        );
        let reports = changed(
            "report",
            &self.reports,
            |name| stored.reports.get(name).map(|report| json(&written::Report::from(report))),
            |number| defined.reports.get(number).map(|report| json(&written::Report::from(report))),
        );
        let upkeep = changed(
            "upkeep",
            &self.upkeep,
            |name| stored.upkeep.get(name).map(|upkeep| json(&written::Upkeep::from(upkeep))),
            |number| defined.upkeep.get(number).map(|upkeep| json(&written::Upkeep::from(upkeep))),
        );
        let alerts = changed(
            "alert rule",
            &self.alerts,
            |rule| stored.alerts.get(rule).map(|setting| json(&written::Setting::from(setting))),
            |number| defined.alerts.get(number).map(|(_, setting)| json(&written::Setting::from(setting))),
        );
        let maintenance = changed(
            "maintenance",
            &self.maintenance,
            |name| stored.maintenance.get(name).map(|window| json(&written::Maintenance::from(window))),
            |number| defined.maintenance.get(number).map(|window| json(&written::Maintenance::from(window))),
        );
        let channels = changed(
            "channel",
            &self.channels,
            |name| stored.channels.get(name).map(|channel| json(&written::Channel::from(channel))),
            |number| defined.channels.get(number).map(|channel| json(&written::Channel::from(channel))),
        );
        let routes = changed(
            "route",
            &self.routes,
            |name| stored.routes.get(name).map(|route| json(&written::Route::from(route))),
            |number| defined.routes.get(number).map(|route| json(&written::Route::from(route))),
        );
        let definitions = targets.chain(jobs).chain(limits).chain(reports).chain(upkeep);
        let definitions = definitions.chain(alerts).chain(maintenance).chain(channels).chain(routes);
        let all: Vec<Changed> = definitions.collect();
        if all.is_empty() {
            return Ok(());
        }
        let entries = all.iter().map(|changed| Entry {
            action: changed.action,
            subject: changed.subject,
            name: &changed.name,
            before: changed.before.clone(),
            after: changed.after.clone(),
        });
        audit::record(transaction, actor, &entries.collect::<Vec<_>>()).await
    }
}

/// Those of a kind that change: definitions stand in their order, removals after them.
fn changed<N: Display>(
    subject: &'static str,
    changes: &[(N, Change)],
    before: impl Fn(&N) -> Option<Value>,
    after: impl Fn(usize) -> Option<Value>,
) -> impl Iterator<Item = Changed> {
    changes.iter().enumerate().filter(|(_, (_, change))| *change != Change::Unchanged).map(
        move |(number, (name, change))| {
            let (action, after) = match change {
                Change::Removed(_) => ("remove", None),
                Change::Added => ("create", after(number)),
                Change::Changed(_) | Change::Unchanged => ("change", after(number)),
            };
            Changed { subject, name: name.to_string(), action, before: before(name), after }
        },
    )
}

fn json(definition: &impl serde::Serialize) -> Value {
    // Plain data with text keys always is JSON.
    serde_json::to_value(definition).unwrap_or_default()
}
