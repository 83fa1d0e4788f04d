//! What an executor needs to know of a task's job.

use std::sync::Arc;

use shared::db::definition::JobWithTargets;

/// A task's job with its targets; a task without a job has an empty plan.
#[derive(Debug, Clone, Default)]
pub struct Plan(Option<Arc<JobWithTargets>>);

impl Plan {
    /// The job, if the task has one that still exists.
    #[must_use]
    pub fn job(&self) -> Option<&JobWithTargets> {
        self.0.as_deref()
    }
}

impl From<Option<Arc<JobWithTargets>>> for Plan {
    fn from(job: Option<Arc<JobWithTargets>>) -> Self {
        Self(job)
    }
}
