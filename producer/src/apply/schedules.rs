//! The schedules that definitions ask for.

use serde_json::json;
use shared::db::schedule::Defined;
use shared::job::{Job, JobId};
use shared::params::Params;
use shared::task::TaskKind;
use shared::work::{ForgetParams, VerifyParams};

use crate::definitions::{Report, Upkeep};

/// All that a job has done again and again. Whatever else it is to have done becomes one more function here.
pub(super) fn of_job(job: &Job, id: JobId) -> impl Iterator<Item = Defined<'_>> {
    backup(job, id).into_iter().chain(verify(job, id)).chain(forget(job, id))
}

fn backup(job: &Job, id: JobId) -> Option<Defined<'_>> {
    Some(Defined {
        kind: TaskKind::Backup,
        name: job.name.to_string(),
        job: Some(id),
        params: Params::from(&json!({})),
        spec: job.schedule.as_ref()?,
    })
}

/// One for each level and copy, `JOB/LEVEL/TARGET`: each task looks at one copy.
fn verify(job: &Job, id: JobId) -> impl Iterator<Item = Defined<'_>> {
    job.verify_schedules.iter().flat_map(move |(&level, spec)| {
        job.targets.iter().map(move |target| Defined {
            kind: TaskKind::Verify,
            name: format!("{}/{level}/{target}", job.name),
            job: Some(id),
            params: Params::from(&json!(VerifyParams { target: target.clone(), level })),
            spec,
        })
    })
}

/// One for each copy, `JOB/TARGET`.
fn forget(job: &Job, id: JobId) -> impl Iterator<Item = Defined<'_>> {
    let spec = job.retention.as_ref().and_then(|retention| retention.schedule.as_ref());
    spec.into_iter().flat_map(move |spec| {
        job.targets.iter().map(move |target| Defined {
            kind: TaskKind::Forget,
            name: format!("{}/{target}", job.name),
            job: Some(id),
            params: Params::from(&json!(ForgetParams { target: target.clone() })),
            spec,
        })
    })
}

pub(super) fn of_report(report: &Report) -> Defined<'_> {
    Defined {
        kind: TaskKind::Report,
        name: report.name.to_string(),
        job: None,
        params: Params::from(&json!(report.params)),
        spec: &report.schedule,
    }
}

pub(super) fn of_upkeep(upkeep: &Upkeep) -> Defined<'_> {
    Defined {
        kind: TaskKind::Maintain,
        name: upkeep.name.to_string(),
        job: None,
        params: Params::from(&json!(upkeep.params())),
        spec: &upkeep.schedule,
    }
}
