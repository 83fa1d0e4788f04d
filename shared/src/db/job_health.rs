//! Tables `job_health` and `job_day`: how the backups of each job went, a fold over its executions by transaction.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::execution::Xact;
use super::statement::statement;
use super::{Error, parsed};
use crate::job::JobId;
use crate::task::{Outcome, TaskId};

/// The good backups of which durations and sizes are kept: the newest, and 20 to compare it with.
pub const RUNS: usize = 21;
/// The days of which successes are counted.
pub const DAYS: i32 = 31;

/// The tasks with a job that came to their end by what the transactions from $1 until before $2 wrote.
///
/// A failed attempt is its task's end where the task neither waits nor runs, and no attempt came after it. One that was lost is so
/// only if the task died of it, and one that a person cancelled says nothing. The single looks are subqueries of one row each, so
/// that they are made by index, and only for what did not end well.
pub(super) const ENDED: &str = "ended as (
         select e.task_id, e.kind, e.job_id, e.target_id, e.outcome, e.finished_at, e.seconds, e.bytes, e.error,
             e.outcome in ('success', 'warning') as good, d.params,
             e.outcome = 'failed' and e.detail ->> 'failed_at' is not distinct from 'source' as of_source
         from execution e left join dead_task d on d.id = e.task_id and e.outcome not in ('success', 'warning')
         where e.xact >= $1::text::xid8 and e.xact < $2::text::xid8 and e.job_id is not null
             and (e.outcome in ('success', 'warning')
                 or (e.outcome in ('failed', 'timed_out') or (e.outcome = 'lost' and d.id is not null))
                 and (select true from task t where t.id = e.task_id) is null
                 and (select true from lease l where l.task_id = e.task_id) is null
                 and (select true from execution f where f.task_id = e.task_id
                     and (f.epoch, f.finished_at) > (e.epoch, e.finished_at) limit 1) is null)),
     backups as (
         select *, row_number() over (partition by job_id order by finished_at, task_id) as n
         from ended where kind in ('backup', 'record'))";

/// Folds what the transactions from `from` until before `to` wrote into the health of their jobs.
pub async fn fold(transaction: &Transaction<'_>, from: Xact, to: Xact) -> Result<(), Error> {
    let statement = statement!(
        "job_health.fold",
        format!(
            "with {ENDED},
         last as (
             select distinct on (job_id) job_id, outcome, task_id, finished_at, error from backups order by job_id, n desc),
         good as (
             select job_id, max(n) as n, max(finished_at) as at from backups where good group by job_id),
         bad as (
             select b.job_id, count(*)::integer as failed, min(b.finished_at) as since
             from backups b left join good g on g.job_id = b.job_id
             where not b.good and b.n > coalesce(g.n, 0) group by b.job_id),
         runs as (
             select job_id, array_agg(seconds order by n desc) as seconds, array_agg(bytes order by n desc) as bytes
             from (select *, row_number() over (partition by job_id order by n desc) as back from backups where good) b
             where back <= {RUNS} group by job_id)
         insert into job_health as h (job_id, outcome, task_id, finished_at, error, failed_in_a_row, failing_since, \
             succeeded_at, seconds, bytes)
         select l.job_id, l.outcome, l.task_id, l.finished_at, left(l.error, 1000), coalesce(b.failed, 0), b.since, g.at, \
             coalesce(r.seconds, '{{}}'), coalesce(r.bytes, '{{}}')
         from last l left join good g on g.job_id = l.job_id left join bad b on b.job_id = l.job_id
             left join runs r on r.job_id = l.job_id
         on conflict (job_id) do update set outcome = excluded.outcome, task_id = excluded.task_id, \
             finished_at = excluded.finished_at, error = excluded.error,
             failed_in_a_row = excluded.failed_in_a_row + case when excluded.succeeded_at is null then h.failed_in_a_row else 0 end,
             failing_since = case when excluded.succeeded_at is null then coalesce(h.failing_since, excluded.failing_since) \
                 else excluded.failing_since end,
             succeeded_at = coalesce(excluded.succeeded_at, h.succeeded_at),
             seconds = (excluded.seconds || h.seconds)[1:{RUNS}], bytes = (excluded.bytes || h.bytes)[1:{RUNS}]"
        )
    );
    statement.execute(transaction, &[&from.0.to_string(), &to.0.to_string()]).await?;
    Ok(())
}

/// Counts what the transactions from `from` until before `to` wrote, by job and day.
pub async fn fold_days(transaction: &Transaction<'_>, from: Xact, to: Xact) -> Result<(), Error> {
    let statement = statement!(
        "job_health.fold_days",
        format!(
            "with {ENDED}
         insert into job_day as d (job_id, day, good, bad)
         select job_id, (finished_at at time zone 'UTC')::date as day, count(*) filter (where good), \
             count(*) filter (where not good)
         from backups where finished_at > now() - make_interval(days => {DAYS}) group by job_id, day
         on conflict (job_id, day) do update set good = d.good + excluded.good, bad = d.bad + excluded.bad"
        )
    );
    statement.execute(transaction, &[&from.0.to_string(), &to.0.to_string()]).await?;
    Ok(())
}

/// How the backups of a job went.
#[derive(Debug, Clone, PartialEq)]
pub struct JobHealth {
    /// Which job.
    pub job: JobId,
    /// What came of the last one.
    pub outcome: Outcome,
    /// Its task.
    pub task: TaskId,
    /// When it came to its end.
    pub finished_at: DateTime<Utc>,
    /// Why it failed.
    pub error: Option<String>,
    /// How many failed since the last one that was good.
    pub failed_in_a_row: i32,
    /// When the first of these did.
    pub failing_since: Option<DateTime<Utc>>,
    /// When one was good for the last time.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// How long good ones took, in seconds, the newest first.
    pub seconds: Vec<f64>,
    /// How large their sources were, in bytes, the newest first.
    pub bytes: Vec<i64>,
}

/// All active jobs that came to the end of some backup.
pub async fn active<C: GenericClient>(client: &C) -> Result<Vec<JobHealth>, Error> {
    let statement = statement!(
        "job_health.active",
        "select h.* from job_health h join job j on j.id = h.job_id where j.active order by h.job_id"
    );
    statement
        .query(client, &[])
        .await?
        .iter()
        .map(|row| {
            Ok(JobHealth {
                job: JobId(row.try_get("job_id")?),
                outcome: parsed(row, "outcome")?,
                task: TaskId(row.try_get("task_id")?),
                finished_at: row.try_get("finished_at")?,
                error: row.try_get("error")?,
                failed_in_a_row: row.try_get("failed_in_a_row")?,
                failing_since: row.try_get("failing_since")?,
                succeeded_at: row.try_get("succeeded_at")?,
                seconds: row.try_get("seconds")?,
                bytes: row.try_get("bytes")?,
            })
        })
        .collect()
}

/// How many backups of a job were good, and how many were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Successes {
    /// Which job.
    pub job: JobId,
    /// Good ones.
    pub good: i64,
    /// Others.
    pub bad: i64,
}

/// The active jobs of which a backup failed within the last 30 days, today included.
pub async fn successes<C: GenericClient>(client: &C) -> Result<Vec<Successes>, Error> {
    let statement = statement!(
        "job_health.successes",
        "with failed as (
             select distinct job_id from job_day where bad > 0 and day > (now() at time zone 'UTC')::date - 30)
         select d.job_id, sum(d.good)::bigint as good, sum(d.bad)::bigint as bad
         from failed f join job j on j.id = f.job_id and j.active join job_day d on d.job_id = f.job_id
         where d.day > (now() at time zone 'UTC')::date - 30
         group by d.job_id order by d.job_id"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Successes {
                job: JobId(row.try_get("job_id")?),
                good: row.try_get("good")?,
                bad: row.try_get("bad")?,
            })
        })
        .collect()
}

/// When a backup of whatever job succeeded last.
pub async fn last_success<C: GenericClient>(client: &C) -> Result<Option<DateTime<Utc>>, Error> {
    let statement = statement!("job_health.last_success", "select max(succeeded_at) from job_health");
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// Which days are old; as many as [`DAYS`] are counted.
pub(super) const OLD_DAYS: &str = "day < (now() at time zone 'UTC')::date - 31";

/// Removes days that are not counted any more, at most `limit` rows; returns how many.
pub async fn sweep_days<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "job_health.sweep_days",
        format!(
            "delete from job_day where (job_id, day) in (select job_id, day from job_day where {OLD_DAYS} limit $1)"
        )
    );
    Ok(statement.execute(client, &[&limit]).await?)
}
