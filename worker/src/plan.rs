//! Jobs with their targets, kept in memory as long as no definition changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::GenericClient;
use shared::db;
use shared::db::job::{JobTarget, StoredJob};
use shared::job::JobId;
use shared::target::TargetName;

/// What an executor needs to know of the task's job; a task without a job has an empty plan.
#[derive(Debug, Clone, Default)]
pub struct Plan(Option<Arc<JobWithTargets>>);

/// A job with its targets in its own order.
#[derive(Debug)]
pub struct JobWithTargets {
    /// The job.
    pub job: StoredJob,
    /// Its targets.
    pub targets: Vec<JobTarget>,
}

impl Plan {
    /// The job, if the task has one that still exists.
    #[must_use]
    pub fn job(&self) -> Option<&JobWithTargets> {
        self.0.as_deref()
    }
}

impl JobWithTargets {
    /// One of the job's targets by its name.
    #[must_use]
    pub fn target(&self, name: &TargetName) -> Option<&JobTarget> {
        self.targets.iter().find(|target| target.target.name == *name)
    }
}

/// The plans of recent jobs.
#[derive(Debug, Default)]
pub struct Plans(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    version: i64,
    plans: HashMap<JobId, Plan>,
}

impl Plans {
    /// The plans of some jobs, as new as the definitions at the time of the call.
    pub async fn load<C: GenericClient>(
        &self,
        client: &C,
        jobs: impl Iterator<Item = JobId>,
    ) -> Result<HashMap<JobId, Plan>, db::Error> {
        // The version is read first: what is read after it is at least that new.
        let version = db::job::definitions_version(client).await?;
        let mut wanted: HashMap<JobId, Plan> = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for job in jobs {
                match known.plans.get(&job) {
                    Some(plan) if known.version == version => _ = wanted.insert(job, plan.clone()),
                    _ => missing.push(job),
                }
            }
        }
        if missing.is_empty() {
            return Ok(wanted);
        }
        let loaded = read(client, &missing).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version != version {
            *known = Known { version, plans: HashMap::new() };
        }
        known.plans.extend(loaded.iter().map(|(job, plan)| (*job, plan.clone())));
        wanted.extend(loaded);
        Ok(wanted)
    }
}

async fn read<C: GenericClient>(client: &C, ids: &[JobId]) -> Result<HashMap<JobId, Plan>, db::Error> {
    let mut targets: HashMap<JobId, Vec<JobTarget>> = HashMap::new();
    for target in db::job::targets(client, ids).await? {
        targets.entry(target.job).or_default().push(target);
    }
    let jobs = db::job::load(client, ids).await?;
    Ok(jobs
        .into_iter()
        .map(|job| {
            let targets = targets.remove(&job.id).unwrap_or_default();
            (job.id, Plan(Some(Arc::new(JobWithTargets { job, targets }))))
        })
        .collect())
}
