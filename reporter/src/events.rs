//! What the long-running process says: one function an event.

use std::time::Duration;

use shared::alert::{Rule, Severity, Transition};
use shared::channel::ChannelName;
use shared::db::Error;
use shared::db::alert::About;
use shared::job::JobId;
use uuid::Uuid;

pub(crate) fn judged(jobs: usize) {
    tracing::debug!(jobs, "judged jobs whose evidence expired");
}

pub(crate) fn judging_failed(error: &Error) {
    tracing::warn!(%error, "jobs whose evidence expired could not be judged: trying again");
}

pub(crate) fn caught_up(executions: u64) {
    tracing::info!(executions, "counted the executions that the database holds");
}

pub(crate) fn collecting_failed(error: &Error) {
    tracing::warn!(%error, "the database could not be observed: trying again");
}

pub(crate) fn job_not_judged(jobs: &[JobId], error: &Error) {
    let job = jobs.first().map(|job| job.0);
    tracing::error!(job, %error, "a job cannot be judged: its verdicts stay as they are");
}

pub(crate) fn leads(term: Option<i64>) {
    match term {
        Some(term) => tracing::info!(term, "leading the reporters"),
        None => tracing::info!("another reporter leads, or none"),
    }
}

pub(crate) fn leading_failed(error: &Error) {
    tracing::warn!(%error, "the lead could not be asked for: trying again");
}

pub(crate) fn rolled_up(attempts: u64) {
    tracing::debug!(attempts, "rolled up");
}

pub(crate) fn rolling_up_failed(error: &Error) {
    tracing::warn!(%error, "attempts could not be rolled up: trying again");
}

pub(crate) fn rollups_of_another_server() {
    tracing::error!(
        "the rollups name transactions that this server has not had yet, as after a dump was restored: nothing is rolled up until \
         `reporter rollup rebuild` was run"
    );
}

pub(crate) fn alerts_failed(error: &Error) {
    tracing::warn!(%error, "the rules of alerts could not be looked at: trying again");
}

pub(crate) fn folded_elsewhere() {
    tracing::error!(
        "alerts rest on transactions that this server has not had, as after the restore of a dump: what was not folded before is \
         missing, what comes from now on counts"
    );
}

pub(crate) fn rule_failed(rules: &[Rule], error: &Error) {
    let rules: Vec<&str> = rules.iter().map(|rule| rule.as_str()).collect();
    let rules = rules.join(", ");
    tracing::warn!(rules, %error, "these rules could not be looked at: their alerts stay as they are");
}

pub(crate) fn alert_changed(about: &About, transition: Transition) {
    let About { cause, severity, summary, .. } = about;
    let transition = transition.as_str();
    match severity {
        Severity::Info => tracing::info!(transition, cause, summary, "alert"),
        Severity::Warning => tracing::warn!(transition, cause, summary, "alert"),
        Severity::Critical => tracing::error!(transition, cause, summary, "alert"),
    }
}

pub(crate) fn unreadable(what: &str, key: &str, error: &Error) {
    tracing::error!(what, key, %error, "this version cannot read it, and goes on without it");
}

pub(crate) fn routed(transitions: usize) {
    tracing::debug!(transitions, "routed transitions of alerts");
}

pub(crate) fn repeated(alerts: usize) {
    tracing::debug!(alerts, "looked for what is to be told again");
}

pub(crate) fn routing_failed(error: &Error) {
    tracing::warn!(%error, "transitions of alerts could not be routed: trying again");
}

pub(crate) fn delivering_failed(error: &Error) {
    tracing::warn!(%error, "notifications could not be delivered: trying again");
}

pub(crate) fn lane_broke(channel: Option<&str>, error: &tokio::task::JoinError) {
    tracing::error!(channel, %error, "deliveries of a channel broke off: they follow when their leases are over");
}

pub(crate) fn delivered(notification: Uuid, channel: &str, attempt: i32) {
    tracing::info!(%notification, channel, attempt, "delivered a notification");
}

pub(crate) fn not_delivered(
    notification: Uuid,
    channel: &str,
    attempt: i32,
    error: Option<&str>,
    again: Duration,
) {
    let again_seconds = again.as_secs();
    tracing::warn!(%notification, channel, attempt, error, again_seconds, "a notification was not delivered: trying again");
}

pub(crate) fn given_up(notification: Uuid, channel: &str, attempt: i32, error: Option<&str>) {
    tracing::error!(%notification, channel, attempt, error, "a notification was given up");
}

pub(crate) fn not_refreshed(channel: &ChannelName, error: Option<&str>) {
    tracing::warn!(%channel, error, "open alerts could not be posted again: trying again in a minute");
}

pub(crate) fn not_pinged(channel: &ChannelName, error: Option<&str>) {
    tracing::warn!(%channel, error, "a dead man's switch could not be told that all is well");
}

pub(crate) fn pipeline(trouble: Option<&str>) {
    match trouble {
        Some(trouble) => tracing::error!(
            trouble,
            "the pipeline does not work: dead man's switches are not told that it does"
        ),
        None => tracing::info!("the pipeline works again"),
    }
}

pub(crate) fn beating_failed(error: &Error) {
    tracing::warn!(%error, "dead man's switches could not be read: trying again");
}

pub(crate) fn refreshing_failed(error: &Error) {
    tracing::warn!(%error, "what is open in Alertmanagers could not be read: trying again");
}

pub(crate) fn not_read(error: &Error) {
    tracing::warn!(%error, "a request could not read the database");
}

pub(crate) fn replica_failed(error: &Error) {
    tracing::warn!(%error, "the replica could not be read: the primary is");
}

pub(crate) fn replica_used(is_used: bool, why: &str) {
    if is_used {
        tracing::info!("requests read the replica now");
    } else {
        tracing::warn!(why, "requests read the primary now, because the replica cannot be used");
    }
}

pub(crate) fn redis_works() {
    tracing::info!("Redis answers again");
}

pub(crate) fn redis_failed(why: &str) {
    tracing::warn!(why, "Redis does not answer: answers are kept in this process alone until it does");
}
