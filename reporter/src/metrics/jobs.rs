//! How recent the backups of jobs are.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use metrics::gauge;
use shared::db::freshness::{self, Freshness};
use shared::db::{self, Error};
use shared::metric;
use shared::metric::Metric;

metric!(JOB_SUCCEEDED: Metric::gauge(
    "holdfast_job_last_success_timestamp_seconds", &["job_name"],
    "When a backup of a job succeeded for the last time, in seconds since 1970; absent before the \
     first"
));
metric!(JOB_POINT: Metric::gauge(
    "holdfast_job_restore_point_timestamp_seconds", &["job_name"],
    "Up to when the data of a job can be restored: the newest complete restore point on any target, \
     in seconds since 1970; absent without one"
));
metric!(JOB_RPO: Metric::gauge(
    "holdfast_job_rpo_seconds", &["job_name"], "How old the newest restore point of a job may become"
));
metric!(JOB_BYTES: Metric::gauge(
    "holdfast_job_last_backup_bytes", &["job_name"],
    "Bytes of the source of the last backup of a job that succeeded"
));
metric!(JOB_TOOK: Metric::gauge(
    "holdfast_job_last_backup_seconds", &["job_name"],
    "How long the last backup of a job took that succeeded"
));
metric!(JOBS_OVERDUE: Metric::gauge(
    "holdfast_jobs_overdue", &[],
    "Active jobs whose newest complete restore point is older than their RPO, and those that have \
     none and were defined longer ago than that"
));
metric!(JOBS_UNPROTECTED: Metric::gauge(
    "holdfast_jobs_unprotected", &[], "Active jobs that have no complete restore point at all"
));
metric!(ACHIEVED_RPO: Metric::gauge(
    "holdfast_achieved_rpo_seconds", &["quantile"],
    "Age of the newest complete restore points of all active jobs at this moment, by quantile (0.5, \
     0.95, 1); absent without any"
));

/// Sets what is known of all jobs; at most `series` of them get series of their own, those without a recent restore point first.
pub(super) async fn set<C: GenericClient>(client: &C, series: usize) -> Result<(), Error> {
    let now = db::now(client).await?;
    let mut jobs = freshness::all(client).await?;
    gauge!(JOBS_OVERDUE).set(jobs.iter().filter(|job| job.is_overdue(now)).count() as f64);
    gauge!(JOBS_UNPROTECTED).set(jobs.iter().filter(|job| job.data_time.is_none()).count() as f64);
    set_ages(&jobs, now);
    jobs.sort_by_key(|job| !job.is_overdue(now));
    jobs.iter().take(series).for_each(set_job);
    Ok(())
}

fn set_ages(jobs: &[Freshness], now: DateTime<Utc>) {
    let mut ages: Vec<f64> = jobs.iter().filter_map(|job| job.age(now)).collect();
    ages.sort_by(f64::total_cmp);
    for (name, part) in [("0.5", 50), ("0.95", 95), ("1", 100)] {
        // The smallest age that so many of a hundred do not exceed.
        let rank = (ages.len() * part).div_ceil(100);
        if let Some(age) = rank.checked_sub(1).and_then(|place| ages.get(place)) {
            gauge!(ACHIEVED_RPO, "quantile" => name).set(*age);
        }
    }
}

/// What there is nothing to say of is not set, and so it is not there.
fn set_job(job: &Freshness) {
    let moment = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp() as f64);
    for (name, value) in [
        (JOB_SUCCEEDED, moment(job.succeeded_at)),
        (JOB_POINT, moment(job.data_time)),
        (JOB_RPO, Some(job.rpo.as_secs_f64())),
        (JOB_BYTES, job.bytes.map(|bytes| bytes as f64)),
        (JOB_TOOK, job.seconds),
    ] {
        if let Some(value) = value {
            gauge!(name, "job_name" => job.job.clone()).set(value);
        }
    }
}
