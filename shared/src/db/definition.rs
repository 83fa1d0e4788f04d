//! Jobs with their targets, kept in memory as long as no definition changes and no target comes or goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::GenericClient;

use super::Error;
use super::job::{self, JobTarget, StoredJob};
use crate::job::JobId;
use crate::target::TargetName;

/// A job with its targets in its own order.
#[derive(Debug)]
pub struct JobWithTargets {
    /// The job.
    pub job: StoredJob,
    /// Its targets.
    pub targets: Vec<JobTarget>,
}

impl JobWithTargets {
    /// One of the job's targets by its name.
    #[must_use]
    pub fn target(&self, name: &TargetName) -> Option<&JobTarget> {
        self.targets.iter().find(|target| target.target.name == *name)
    }
}

/// The definitions of the jobs that were asked for since the last change.
///
/// A transaction that changes definitions must use one of its own: what it read before it was rolled back would be
/// taken for the next change's.
#[derive(Debug, Default)]
pub struct Definitions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    version: i64,
    jobs: HashMap<JobId, Arc<JobWithTargets>>,
}

impl Definitions {
    /// The definitions of some jobs, as new as they are at the time of the call; unknown numbers are absent.
    pub async fn load<C: GenericClient>(
        &self,
        client: &C,
        jobs: impl IntoIterator<Item = JobId>,
    ) -> Result<HashMap<JobId, Arc<JobWithTargets>>, Error> {
        // The version is read first: what is read after it is at least that new.
        let version = job::definitions_version(client).await?;
        let (mut wanted, mut missing) = (HashMap::new(), Vec::new());
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for job in jobs {
                match known.jobs.get(&job) {
                    Some(definition) if known.version == version => {
                        wanted.insert(job, definition.clone());
                    }
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
            *known = Known { version, jobs: HashMap::new() };
        }
        known.jobs.extend(loaded.iter().map(|(job, definition)| (*job, definition.clone())));
        wanted.extend(loaded);
        Ok(wanted)
    }
}

async fn read<C: GenericClient>(
    client: &C,
    ids: &[JobId],
) -> Result<HashMap<JobId, Arc<JobWithTargets>>, Error> {
    let mut targets: HashMap<JobId, Vec<JobTarget>> = HashMap::new();
    for target in job::targets(client, ids).await? {
        targets.entry(target.job).or_default().push(target);
    }
    let jobs = job::load(client, ids).await?;
    let with_targets = |job: StoredJob| {
        let targets = targets.remove(&job.id).unwrap_or_default();
        (job.id, Arc::new(JobWithTargets { job, targets }))
    };
    Ok(jobs.into_iter().map(with_targets).collect())
}
