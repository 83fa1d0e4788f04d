//! What a recorded attempt causes: copies to the job's other targets, and the verification that is due.

use shared::db::compliance::Judged;
use shared::evidence::Facts;
use shared::job::JobId;
use shared::params::Params;
use shared::target::TargetName;
use shared::task::{Ended, Task, TaskId, TaskKind};
use shared::work::{CopyParams, Level, VerifyParams};

use crate::outcome::Finished;
use shared::db::definition::JobWithTargets;

/// The tasks that an attempt causes when it wrote a restore point.
pub fn tasks(finished: &Finished, judged: &Judged) -> Vec<Task> {
    let (Some(plan), Some(point)) = (finished.plan.job(), &finished.outcome.restore_point) else {
        return Vec::new();
    };
    // Its job may have been taken away, or made inactive, while it ran.
    if !matches!(finished.outcome.ended, Ended::Done { .. }) || !judged.is_active(point.job) {
        return Vec::new();
    }
    let Some(here) = plan.targets.iter().find(|target| target.id == point.target) else { return Vec::new() };
    let build = |kind, params| task(finished, judged, plan, kind, &params);
    let mut tasks = Vec::new();
    if finished.leased.task.kind == TaskKind::Backup {
        for target in plan.targets.iter().filter(|target| target.id != here.id) {
            let params = CopyParams { restore_point: point.id, target: target.target.name.clone() };
            tasks.push(build(TaskKind::Copy, serde_json::json!(params)));
        }
    }
    let facts = judged.facts(point.job, point.target).cloned().unwrap_or_default();
    for level in due(plan, &facts, judged) {
        tasks.push(build(TaskKind::Verify, verify(&here.target.name, level)));
    }
    tasks
}

/// A structure check must follow every restore point; the other levels have windows.
fn due(plan: &JobWithTargets, facts: &Facts, judged: &Judged) -> Vec<Level> {
    let windows = plan.job.job.verify;
    let mut levels = vec![Level::Structure];
    if Facts::is_due(facts.read.as_ref(), windows.read, judged.now) {
        levels.push(Level::Read);
    }
    if Facts::is_due(facts.restore_test.as_ref(), windows.restore, judged.now) {
        levels.push(Level::Restore);
    }
    levels
}

fn verify(target: &TargetName, level: Level) -> serde_json::Value {
    serde_json::json!(VerifyParams { target: target.clone(), level })
}

fn task(
    finished: &Finished,
    judged: &Judged,
    plan: &JobWithTargets,
    kind: TaskKind,
    params: &serde_json::Value,
) -> Task {
    let job: Option<JobId> = Some(plan.job.id);
    Task {
        id: TaskId::generate(),
        kind,
        priority: finished.leased.task.priority,
        job,
        params: Params::from(params),
        requested_by: format!("{} {}", finished.leased.task.kind, finished.leased.task.id),
        enqueued_at: judged.now,
        trace: match &finished.traced {
            Some(traced) => Some(traced.caused(&finished.leased)),
            None => finished.leased.task.trace.clone(),
        },
    }
}
