//! Targets on which everything fails.

use deadpool_postgres::GenericClient;
use shared::alert::Rule;
use shared::db::Error;
use shared::db::target_health::{self, TargetHealth};

use super::super::finding::Finding;
use super::{Context, moment};

/// Targets that are attached, and on which the last tasks of more than one job failed, or which a probe could not reach. Where all
/// that failed is of one job, the job may be what fails; there are rules for jobs.
pub(super) async fn failing<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let Some(setting) = context.setting(Rule::TargetFailing) else { return Ok(Vec::new()) };
    let failing = target_health::failing(client).await?;
    let finding = |health: &TargetHealth| {
        let error = health.error.as_deref().unwrap_or("nobody said why");
        let failed = u32::try_from(health.failed_in_a_row).unwrap_or(0);
        let summary = if let Some(at) = health.unreachable_at {
            format!("a probe could not reach {} at {}: {error}", health.name, moment(at))
        } else if failed >= setting.failures && health.failing_jobs > 1 {
            let jobs = health.failing_jobs;
            format!("the last {failed} tasks on {} failed, of {jobs} jobs: {error}", health.name)
        } else {
            return None;
        };
        let finding =
            Finding::of_target(Rule::TargetFailing, &setting, (health.target, &health.name), &summary);
        Some(match health.failing_since {
            Some(since) => finding.with_detail(&format!("since {}", moment(since))),
            None => finding,
        })
    };
    Ok(failing.iter().filter_map(finding).collect())
}
