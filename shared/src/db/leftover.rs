//! Tasks of jobs and targets that are about to be taken away: what waits is cancelled, what runs goes on to its end.

use std::collections::HashMap;

use deadpool_postgres::{GenericClient, Transaction};

use super::statement::statement;
use super::{Error, parsed};
use crate::job::JobId;
use crate::target::TargetName;

/// How many tasks a job or a target leaves behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// They wait.
    pub waiting: i64,
    /// They run.
    pub running: i64,
}

/// What is left of jobs, and of targets that those are not the only ones to wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// The tasks of each job.
    pub jobs: HashMap<JobId, Leftover>,
    /// The tasks of other jobs that wait for the return of each target.
    pub targets: HashMap<TargetName, Leftover>,
}

/// Those that belong to the jobs, or wait for the return of the targets.
const WAITING: &str = "(job_id = any($1) or waiting_for = any($2))";

/// Counts what is left of jobs and targets.
pub async fn count<C: GenericClient>(
    client: &C,
    jobs: &[JobId],
    targets: &[TargetName],
) -> Result<Leftovers, Error> {
    let statement = statement!("leftover.count", format!(
        "select job_id, null as target, count(*) filter (where waits) as waiting, count(*) filter (where not waits) as running
         from (select job_id, true as waits from task where job_id = any($1)
             union all select job_id, false from lease where job_id = any($1)) as t group by job_id
         union all
         select null, substr(waiting_for, length('target:') + 1), count(*), 0
         from task where {WAITING} and (job_id = any($1)) is not true group by waiting_for"
    ));
    let (ids, names) = columns(jobs, targets);
    let mut left = Leftovers::default();
    for row in statement.query(client, &[&ids, &names]).await? {
        let counted = Leftover { waiting: row.try_get("waiting")?, running: row.try_get("running")? };
        match row.try_get::<_, Option<i32>>("job_id")? {
            Some(job) => _ = left.jobs.insert(JobId(job), counted),
            None => _ = left.targets.insert(parsed(&row, "target")?, counted),
        }
    }
    Ok(left)
}

/// Takes out what waits for jobs and targets that are taken away, and records that.
pub async fn cancel(
    transaction: &Transaction<'_>,
    jobs: &[JobId],
    targets: &[TargetName],
    by: &str,
) -> Result<(), Error> {
    let statement = statement!("leftover.cancel", format!(
        "with mine as (select id from task where {WAITING} order by id for update),
             gone as (delete from task where id = any(array(select id from mine)) returning *)
         insert into execution (task_id, kind, job_id, requested_by, enqueued_at, epoch, attempt, outcome, \
             started_at, seconds, error)
         select id, kind, job_id, requested_by, enqueued_at, epoch, attempt, 'cancelled', now(), 0, \
             'cancelled by ' || $3 || ': its ' || case when job_id = any($1) then 'job' else 'target' end || ' was removed'
         from gone"
    ));
    let (ids, names) = columns(jobs, targets);
    statement.execute(transaction, &[&ids, &names, &by]).await?;
    Ok(())
}

fn columns(jobs: &[JobId], targets: &[TargetName]) -> (Vec<i32>, Vec<String>) {
    (jobs.iter().map(|job| job.0).collect(), targets.iter().map(super::task::waiting_for).collect())
}
