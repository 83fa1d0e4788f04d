//! Table `target_health`: how the tasks on each target went, a fold over the executions of all jobs by transaction.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::execution::Xact;
use super::job_health::ENDED;
use super::statement::statement;
use super::{Error, parsed};
use crate::target::{TargetId, TargetName, TargetState};

/// How many of the jobs are kept whose tasks failed in a row.
const JOBS: usize = 5;

/// Folds what the transactions from `from` until before `to` wrote into the health of the targets, but for backups that failed at their
/// sources. A failed attempt does not
/// know its target: a backup's is its job's first one, any other task has named it.
pub async fn fold(transaction: &Transaction<'_>, from: Xact, to: Xact) -> Result<(), Error> {
    let statement = statement!(
        "target_health.fold",
        format!(
            "with {ENDED},
         placed as (
             select e.job_id, e.kind, e.good, e.finished_at, e.error, coalesce(e.target_id,
                 (select t.id from target t where t.name = e.params ->> 'target'),
                 case when e.kind = 'backup' then
                     (select jt.target_id from job_target jt where jt.job_id = e.job_id order by jt.position limit 1) end) as target_id,
                 e.task_id
             from ended e where e.kind <> 'record' and not e.of_source),
         tasks as (
             select *, row_number() over (partition by target_id order by finished_at, task_id) as n
             from placed where target_id is not null),
         last as (select distinct on (target_id) target_id, finished_at, error from tasks order by target_id, n desc),
         good as (select target_id, max(n) as n, max(finished_at) as at from tasks where good group by target_id),
         bad as (
             select t.target_id, count(*)::integer as failed, min(t.finished_at) as since,
                 (array_agg(distinct t.job_id))[1:{JOBS}] as jobs,
                 max(t.finished_at) filter (where t.kind = 'probe') as unreachable_at
             from tasks t left join good g on g.target_id = t.target_id
             where not t.good and t.n > coalesce(g.n, 0) group by t.target_id)
         insert into target_health as h (target_id, finished_at, error, failed_in_a_row, failing_since, failing_jobs, \
             succeeded_at, unreachable_at)
         select l.target_id, l.finished_at, left(l.error, 1000), coalesce(b.failed, 0), b.since, coalesce(b.jobs, '{{}}'), \
             g.at, b.unreachable_at
         from last l left join good g on g.target_id = l.target_id left join bad b on b.target_id = l.target_id
         on conflict (target_id) do update set finished_at = excluded.finished_at, error = excluded.error,
             failed_in_a_row = excluded.failed_in_a_row + case when excluded.succeeded_at is null then h.failed_in_a_row else 0 end,
             failing_since = case when excluded.succeeded_at is null then coalesce(h.failing_since, excluded.failing_since) \
                 else excluded.failing_since end,
             failing_jobs = case when excluded.succeeded_at is null
                 then (array(select distinct unnest(h.failing_jobs || excluded.failing_jobs)))[1:{JOBS}]
                 else excluded.failing_jobs end,
             unreachable_at = case when excluded.succeeded_at is null then coalesce(excluded.unreachable_at, h.unreachable_at) \
                 else excluded.unreachable_at end,
             succeeded_at = coalesce(excluded.succeeded_at, h.succeeded_at)"
        )
    );
    statement.execute(transaction, &[&from.0.to_string(), &to.0.to_string()]).await?;
    Ok(())
}

/// How the tasks on a target went.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetHealth {
    /// Which target.
    pub target: TargetId,
    /// Its name.
    pub name: TargetName,
    /// What the last task that failed said.
    pub error: Option<String>,
    /// How many failed since the last one that did not.
    pub failed_in_a_row: i32,
    /// When the first of these did.
    pub failing_since: Option<DateTime<Utc>>,
    /// Of how many jobs these were that are active still, 5 at most.
    pub failing_jobs: usize,
    /// When a probe could not reach it, if nothing has since.
    pub unreachable_at: Option<DateTime<Utc>>,
}

/// The attached targets on which the last task failed.
pub async fn failing<C: GenericClient>(client: &C) -> Result<Vec<TargetHealth>, Error> {
    let statement = statement!(
        "target_health.failing",
        "select h.*, t.name,
             (select count(*) from job j where j.id = any(h.failing_jobs) and j.active)::integer as jobs
         from target_health h join target t on t.id = h.target_id
         where h.failed_in_a_row > 0 and t.state = $1 and t.removed_at is null order by t.name"
    );
    let rows = statement.query(client, &[&TargetState::Attached.as_str()]).await?;
    rows.iter()
        .map(|row| {
            Ok(TargetHealth {
                target: TargetId(row.try_get("target_id")?),
                name: parsed(row, "name")?,
                error: row.try_get("error")?,
                failed_in_a_row: row.try_get("failed_in_a_row")?,
                failing_since: row.try_get("failing_since")?,
                failing_jobs: usize::try_from(row.try_get::<_, i32>("jobs")?).unwrap_or(0),
                unreachable_at: row.try_get("unreachable_at")?,
            })
        })
        .collect()
}
