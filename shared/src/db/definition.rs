//! Jobs with their targets, kept in memory as long as no definition changes and no target comes or goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool_postgres::{GenericClient, Transaction};

use super::Error;
use super::job::{self, JobTarget, Reference, StoredJob};
use crate::job::{JobId, JobName};
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
    references: HashMap<JobName, Reference>,
    jobs: HashMap<JobId, Arc<JobWithTargets>>,
}

/// Definitions at least as new as the moment at which this was got.
#[derive(Debug)]
pub struct Current<'a> {
    definitions: &'a Definitions,
    version: i64,
}

impl Definitions {
    /// Looks whether what is known is still true.
    pub async fn current<C: GenericClient>(&self, client: &C) -> Result<Current<'_>, Error> {
        // Before anything else is read: what is read after it is at least that new.
        let version = job::definitions_version(client).await?;
        Ok(Current { definitions: self, version })
    }

    /// As [`Definitions::current`], and keeps limits as they are until the transaction ends.
    pub async fn held(&self, transaction: &Transaction<'_>) -> Result<Current<'_>, Error> {
        let version = super::limit::hold(transaction).await?;
        Ok(Current { definitions: self, version })
    }

    /// What is known at a version; what was known at another is forgotten.
    fn known(&self, version: i64) -> MutexGuard<'_, Known> {
        // Nothing panics between a lock and its release.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version != version {
            *known = Known { version, ..Known::default() };
        }
        known
    }
}

impl Current<'_> {
    /// The version that they are of.
    #[must_use]
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// Finds jobs by their names; names without a job are absent from the answer.
    pub async fn resolve<C: GenericClient>(
        &self,
        client: &C,
        names: impl IntoIterator<Item = &JobName>,
    ) -> Result<HashMap<JobName, Reference>, Error> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        {
            let known = self.definitions.known(self.version);
            for name in names {
                match known.references.get(name) {
                    Some(reference) => _ = found.insert(name.clone(), *reference),
                    None => missing.push(name),
                }
            }
        }
        if !missing.is_empty() {
            let read = job::resolve(client, &missing).await?;
            self.definitions.known(self.version).references.extend(read.clone());
            found.extend(read);
        }
        Ok(found)
    }

    /// The definitions of some jobs; unknown numbers are absent.
    pub async fn load<C: GenericClient>(
        &self,
        client: &C,
        jobs: impl IntoIterator<Item = JobId>,
    ) -> Result<HashMap<JobId, Arc<JobWithTargets>>, Error> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        {
            let known = self.definitions.known(self.version);
            for job in jobs {
                match known.jobs.get(&job) {
                    Some(definition) => _ = found.insert(job, definition.clone()),
                    None => missing.push(job),
                }
            }
        }
        if !missing.is_empty() {
            let read = read(client, &missing).await?;
            let kept = read.iter().map(|(job, definition)| (*job, definition.clone()));
            self.definitions.known(self.version).jobs.extend(kept);
            found.extend(read);
        }
        Ok(found)
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
