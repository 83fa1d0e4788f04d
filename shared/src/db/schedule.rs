//! Tables `schedule` and `schedule_run`: what is enqueued again and again, and which due times were seen to.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{Error, parsed, prepared};
use crate::job::JobId;
use crate::params::Params;
use crate::schedule::Schedule;
use crate::task::{TaskId, TaskKind};

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its number.
    pub id: i32,
    /// What is enqueued.
    pub kind: TaskKind,
    /// The job's name, or the schedule's own where the kind works on no job.
    pub name: String,
    /// For which job.
    pub job: Option<JobId>,
    /// With which parameters.
    pub params: Params,
    /// When.
    pub spec: Schedule,
    /// The next due time; everything before it is done.
    pub next_due: Option<DateTime<Utc>>,
    /// Who has paused it, if somebody has.
    pub paused_by: Option<String>,
    /// What was enqueued last.
    pub last_task: Option<TaskId>,
}

const COLUMNS: &str = "id, kind, name, job_id, params, spec, next_due, paused_by, last_task";

/// What is to be enqueued when, as definitions say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Defined<'a> {
    /// What is enqueued.
    pub kind: TaskKind,
    /// The job's name, or the schedule's own.
    pub name: &'a str,
    /// For which job.
    pub job: Option<JobId>,
    /// With which parameters.
    pub params: &'a Params,
    /// When.
    pub spec: &'a Schedule,
}

/// Stores a schedule. Its due times count from `now` on where they are others than before; whoever has paused it has it
/// paused still.
pub async fn upsert<C: GenericClient>(
    client: &C,
    defined: &Defined<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Defined { kind, name, job, params, spec } = defined;
    let statement = "insert into schedule as s (kind, name, job_id, params, spec, next_due, fires_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (kind, name) do update set job_id = excluded.job_id, params = excluded.params, spec = excluded.spec,
             next_due = case when s.spec = excluded.spec then s.next_due else excluded.next_due end,
             fires_at = case when s.spec = excluded.spec then s.fires_at else excluded.fires_at end";
    let statement = prepared(client, statement).await?;
    let next = spec.next(now);
    let fires = next.map(|next| next + spec.delay(name));
    let job = job.map(|job| job.0);
    client.execute(&statement, &[&kind.as_str(), name, &job, params, &Json(spec), &next, &fires]).await?;
    Ok(())
}

/// Takes the schedules of some jobs away, except those of these kinds and names.
pub async fn retain<C: GenericClient>(
    client: &C,
    jobs: &[JobId],
    names: &[(TaskKind, &str)],
) -> Result<(), Error> {
    let statement = "delete from schedule where job_id = any($1)
         and (kind, name) not in (select * from unnest($2::text[], $3::text[]))";
    let statement = prepared(client, statement).await?;
    let (kinds, names): (Vec<&str>, Vec<&str>) =
        names.iter().map(|(kind, name)| (kind.as_str(), *name)).unzip();
    let jobs: Vec<i32> = jobs.iter().map(|job| job.0).collect();
    client.execute(&statement, &[&jobs, &kinds, &names]).await?;
    Ok(())
}

/// All schedules of known kinds, by kind and name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<Stored>, Error> {
    let statement = format!("select {COLUMNS} from schedule where kind = any($1) order by kind, name");
    let statement = prepared(client, &statement).await?;
    client.query(&statement, &[&super::task::known_kinds()]).await?.iter().map(stored).collect()
}

/// Takes up to `limit` schedules that fire, those that are late first, and keeps others from seeing to them until the transaction
/// ends.
pub async fn take_firing(
    transaction: &Transaction<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let statement = format!(
        "select {COLUMNS} from schedule
         where fires_at <= $1 and paused_at is null and kind = any($2)
             and (job_id is null or exists (select from job where job.id = job_id and job.active))
         order by fires_at limit $3 for update skip locked"
    );
    let statement = prepared(transaction, &statement).await?;
    let rows = transaction.query(&statement, &[&now, &super::task::known_kinds(), &limit]).await?;
    rows.iter().map(stored).collect()
}

/// A due time that is seen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Of which schedule.
    pub schedule: i32,
    /// Which.
    pub due_at: DateTime<Utc>,
    /// The task that does its work; none where it is passed over.
    pub task: Option<TaskId>,
}

/// Notes due times, and returns the tasks of those that nobody had noted before.
pub async fn note(transaction: &Transaction<'_>, runs: &[Run]) -> Result<HashSet<TaskId>, Error> {
    let statement = "insert into schedule_run (schedule_id, due_at, task_id)
         select * from unnest($1::integer[], $2::timestamptz[], $3::uuid[])
         on conflict do nothing returning task_id";
    let statement = prepared(transaction, statement).await?;
    let schedules: Vec<i32> = runs.iter().map(|run| run.schedule).collect();
    let due: Vec<DateTime<Utc>> = runs.iter().map(|run| run.due_at).collect();
    let tasks: Vec<Option<uuid::Uuid>> = runs.iter().map(|run| run.task.map(|task| task.0)).collect();
    let rows = transaction.query(&statement, &[&schedules, &due, &tasks]).await?;
    let noted = rows.iter().filter_map(|row| row.try_get::<_, Option<uuid::Uuid>>(0).transpose());
    noted.map(|task| Ok(TaskId(task?))).collect()
}

/// Where a schedule goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// Which.
    pub schedule: i32,
    /// Its next due time, and when it fires; none when there is none in any time to come.
    pub next: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// What was enqueued last, where something was.
    pub last_task: Option<TaskId>,
}

/// Sets where schedules that were taken go on.
pub async fn advance(transaction: &Transaction<'_>, advances: &[Advance]) -> Result<(), Error> {
    let statement = "update schedule s set next_due = a.next_due, fires_at = a.fires_at, last_task = coalesce(a.task, s.last_task)
         from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], $4::uuid[]) as a(id, next_due, fires_at, task)
         where s.id = a.id";
    let statement = prepared(transaction, statement).await?;
    let ids: Vec<i32> = advances.iter().map(|advance| advance.schedule).collect();
    let (due, fires): (Vec<_>, Vec<_>) = advances
        .iter()
        .map(|advance| (advance.next.map(|next| next.0), advance.next.map(|next| next.1)))
        .unzip();
    let tasks: Vec<Option<uuid::Uuid>> =
        advances.iter().map(|advance| advance.last_task.map(|task| task.0)).collect();
    transaction.execute(&statement, &[&ids, &due, &fires, &tasks]).await?;
    Ok(())
}

/// How far a task is that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It waits.
    Waits,
    /// It runs.
    Runs,
}

/// Those of some tasks that are not done.
pub async fn open<C: GenericClient>(client: &C, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, Open>, Error> {
    let statement = "select id, false as runs from task where id = any($1)
         union all select task_id, true from lease where task_id = any($1)";
    let statement = prepared(client, statement).await?;
    let ids: Vec<uuid::Uuid> = tasks.iter().map(|task| task.0).collect();
    let rows = client.query(&statement, &[&ids]).await?;
    let open = |row: &Row| {
        let open = if row.try_get("runs")? { Open::Runs } else { Open::Waits };
        Ok((TaskId(row.try_get("id")?), open))
    };
    rows.iter().map(open).collect()
}

/// Pauses a schedule, or lets it go on from `now`: what was due meanwhile is caught up as it says. Returns whether there is one.
pub async fn set_paused<C: GenericClient>(
    client: &C,
    kind: TaskKind,
    name: &str,
    by: Option<&str>,
) -> Result<bool, Error> {
    let statement =
        "update schedule set paused_by = $3, paused_at = case when $3::text is null then null else now() end
         where kind = $1 and name = $2";
    let statement = prepared(client, statement).await?;
    Ok(client.execute(&statement, &[&kind.as_str(), &name, &by]).await? == 1)
}

/// Forgets which due times were seen to longer ago than this; returns how many.
pub async fn forget<C: GenericClient>(client: &C, after: Duration) -> Result<u64, Error> {
    let statement = "delete from schedule_run where due_at < now() - make_interval(secs => $1)";
    let statement = prepared(client, statement).await?;
    Ok(client.execute(&statement, &[&after.as_secs_f64()]).await?)
}

/// One schedule, kept from others until the transaction ends.
pub async fn lock(
    transaction: &Transaction<'_>,
    kind: TaskKind,
    name: &str,
) -> Result<Option<Stored>, Error> {
    let statement = format!("select {COLUMNS} from schedule where kind = $1 and name = $2 for update");
    let statement = prepared(transaction, &statement).await?;
    transaction.query_opt(&statement, &[&kind.as_str(), &name]).await?.as_ref().map(stored).transpose()
}

/// Notes what was enqueued last, where no due time asked for it.
pub async fn set_last_task(transaction: &Transaction<'_>, schedule: i32, task: TaskId) -> Result<(), Error> {
    let statement = prepared(transaction, "update schedule set last_task = $2 where id = $1").await?;
    transaction.execute(&statement, &[&schedule, &task.0]).await?;
    Ok(())
}

fn stored(row: &Row) -> Result<Stored, Error> {
    Ok(Stored {
        id: row.try_get("id")?,
        kind: parsed(row, "kind")?,
        name: row.try_get("name")?,
        job: row.try_get::<_, Option<i32>>("job_id")?.map(JobId),
        params: row.try_get("params")?,
        spec: super::from_json(row, "spec")?,
        next_due: row.try_get("next_due")?,
        paused_by: row.try_get("paused_by")?,
        last_task: row.try_get::<_, Option<uuid::Uuid>>("last_task")?.map(TaskId),
    })
}
