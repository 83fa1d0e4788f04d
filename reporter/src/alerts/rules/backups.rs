//! How the backups of jobs go.

use chrono::TimeDelta;
use deadpool_postgres::GenericClient;
use shared::alert::Rule;
use shared::db::job_health::{self, JobHealth, Successes};
use shared::db::{Error, restore_point};
use shared::task::Outcome;

use super::super::finding::Finding;
use super::super::jobs::JobFacts;
use super::{Context, moment, unusual};

/// What the last backups of each job were like.
pub(super) async fn health<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for health in job_health::active(client).await? {
        let Some(job) = context.jobs.get(health.job) else { continue };
        findings.extend(failed(context, job, &health));
        findings.extend(failing(context, job, &health));
        findings.extend(warned(context, job, &health));
        findings.extend(unusual::duration(context, job, &health));
        findings.extend(unusual::size(context, job, &health));
    }
    Ok(findings)
}

fn failed(context: &Context<'_>, job: &JobFacts, health: &JobHealth) -> Option<Finding> {
    let setting = context.of_job(Rule::BackupFailed, job)?;
    if health.failed_in_a_row == 0 {
        return None;
    }
    let summary = format!("the last backup of {} failed: {}", job.name, error(health));
    Some(Finding::of_job(Rule::BackupFailed, &setting, job, &summary).with_detail(&last(health)))
}

fn failing(context: &Context<'_>, job: &JobFacts, health: &JobHealth) -> Option<Finding> {
    let setting = context.of_job(Rule::BackupsFailing, job)?;
    let failed = health.failed_in_a_row;
    if u32::try_from(failed).unwrap_or(0) < setting.failures {
        return None;
    }
    let summary = format!("the last {failed} backups of {} failed: {}", job.name, error(health));
    let good = health.succeeded_at.map_or_else(
        || "none was ever good".to_owned(),
        |succeeded_at| format!("the last good one was at {}", moment(succeeded_at)),
    );
    let detail = format!("{}; {good}", last(health));
    Some(Finding::of_job(Rule::BackupsFailing, &setting, job, &summary).with_detail(&detail))
}

fn warned(context: &Context<'_>, job: &JobFacts, health: &JobHealth) -> Option<Finding> {
    let setting = context.of_job(Rule::BackupWarnings, job)?;
    if health.outcome != Outcome::Warning {
        return None;
    }
    let summary = format!("the last backup of {} finished with warnings", job.name);
    Some(Finding::of_job(Rule::BackupWarnings, &setting, job, &summary).with_detail(&last(health)))
}

fn error(health: &JobHealth) -> &str {
    health.error.as_deref().unwrap_or("nobody said why")
}

fn last(health: &JobHealth) -> String {
    format!("task {} at {}", health.task, moment(health.finished_at))
}

/// How old the newest complete restore point of each job is; a job that never had one counts from its definition.
pub(super) async fn recency<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for newest in restore_point::newest_complete(client).await? {
        let Some(job) = context.jobs.get(newest.job) else { continue };
        let Some(setting) = context.of_job(Rule::NoRecentBackup, job) else { continue };
        let rpo = TimeDelta::from_std(job.rpo).unwrap_or(TimeDelta::MAX);
        // As for verdicts, one that is exactly as old as it may be is too old.
        if context.now - newest.data_time.unwrap_or(newest.created_at) < rpo {
            continue;
        }
        let allowed = humantime::format_duration(job.rpo);
        let summary = match newest.data_time {
            Some(at) => format!(
                "the newest complete restore point of {} is of {}, older than {allowed}",
                job.name,
                moment(at)
            ),
            None => format!(
                "{} has no complete restore point, and was defined longer than {allowed} ago",
                job.name
            ),
        };
        findings.push(Finding::of_job(Rule::NoRecentBackup, &setting, job, &summary));
    }
    Ok(findings)
}

/// How many of each job's backups were good.
pub(super) async fn success_rate<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let successes = job_health::successes(client).await?;
    Ok(successes.iter().filter_map(|successes| too_few(context, successes)).collect())
}

fn too_few(context: &Context<'_>, successes: &Successes) -> Option<Finding> {
    let job = context.jobs.get(successes.job)?;
    let setting = context.of_job(Rule::SuccessRate, job)?;
    let all = successes.good + successes.bad;
    let rate = successes.good as f64 / all as f64;
    if all < i64::from(setting.tasks) || rate >= setting.below {
        return None;
    }
    let summary = format!(
        "{:.1} % of the {all} backups of {} in the last 30 days succeeded, less than {:.1} %",
        rate * 100.0,
        job.name,
        setting.below * 100.0
    );
    Some(Finding::of_job(Rule::SuccessRate, &setting, job, &summary))
}
