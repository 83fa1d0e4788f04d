//! Tables `schedule` and `schedule_run`: what is enqueued again and again, and which due times were seen to.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, parsed};
use crate::job::{JobId, JobName};
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
    /// Its name, which no other schedule of the kind has: the job's, or one that begins with the job's and a slash, or the
    /// schedule's own where the kind works on no job.
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

impl Stored {
    /// Whether this is the schedule of a name, or one of those of the job of that name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

const COLUMNS: &str = "id, kind, name, job_id, params, spec, next_due, paused_by, last_task";

/// What is to be enqueued when, as definitions say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Defined<'a> {
    /// What is enqueued.
    pub kind: TaskKind,
    /// Its name, which no other schedule of the kind has.
    pub name: String,
    /// For which job.
    pub job: Option<JobId>,
    /// With which parameters.
    pub params: Params,
    /// When.
    pub spec: &'a Schedule,
}

/// Stores schedules. Their due times count from `now` on where they are others than before, but for what is due already and was not
/// seen to; whoever has paused one has it paused still.
pub async fn upsert<C: GenericClient>(
    client: &C,
    defined: &[Defined<'_>],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let statement = statement!(
        "schedule.upsert",
        "insert into schedule as s (kind, name, job_id, params, spec, next_due, fires_at)
         select * from unnest($1::text[], $2::text[], $3::integer[], $4::json[], $5::jsonb[], $6::timestamptz[], $7::timestamptz[])
         on conflict (kind, name) do update set job_id = excluded.job_id, params = excluded.params, spec = excluded.spec,
             next_due = case when s.spec = excluded.spec or s.next_due <= $8 then s.next_due else excluded.next_due end,
             fires_at = case when s.spec = excluded.spec or s.next_due <= $8 then s.fires_at else excluded.fires_at end"
    );
    let (kinds, names) = keys(defined);
    let jobs: Vec<Option<i32>> = defined.iter().map(|schedule| schedule.job.map(|job| job.0)).collect();
    let params: Vec<&Params> = defined.iter().map(|schedule| &schedule.params).collect();
    let specs: Vec<Json<&Schedule>> = defined.iter().map(|schedule| Json(schedule.spec)).collect();
    let due: Vec<Option<DateTime<Utc>>> = defined.iter().map(|schedule| schedule.spec.next(now)).collect();
    let fires = |(due, schedule): (&Option<DateTime<Utc>>, &Defined<'_>)| {
        due.map(|due| due + schedule.spec.delay(&schedule.name))
    };
    let fires: Vec<Option<DateTime<Utc>>> = due.iter().zip(defined).map(fires).collect();
    statement.execute(client, &[&kinds, &names, &jobs, &params, &specs, &due, &fires, &now]).await?;
    Ok(())
}

/// Takes the schedules of some jobs away, except those that are among `kept`.
pub async fn retain<C: GenericClient>(client: &C, jobs: &[JobId], kept: &[Defined<'_>]) -> Result<(), Error> {
    let statement = statement!(
        "schedule.retain",
        "delete from schedule s where job_id = any($1) and not exists (
             select from unnest($2::text[], $3::text[]) as k(kind, name) where k.kind = s.kind and k.name = s.name)"
    );
    let jobs: Vec<i32> = jobs.iter().map(|job| job.0).collect();
    let (kinds, names) = keys(kept);
    statement.execute(client, &[&jobs, &kinds, &names]).await?;
    Ok(())
}

/// Takes schedules of a kind away.
pub async fn remove<C: GenericClient>(client: &C, kind: TaskKind, names: &[&str]) -> Result<(), Error> {
    let statement = statement!("schedule.remove", "delete from schedule where kind = $1 and name = any($2)");
    statement.execute(client, &[&kind.as_str(), &names]).await?;
    Ok(())
}

fn keys<'a>(defined: &'a [Defined<'_>]) -> (Vec<&'static str>, Vec<&'a str>) {
    defined.iter().map(|schedule| (schedule.kind.as_str(), schedule.name.as_str())).unzip()
}

/// All schedules of known kinds, by kind and name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Readable<Stored, Key>, Error> {
    let statement = statement!(
        "schedule.all",
        format!("select {COLUMNS} from schedule where kind = any($1) order by kind, name")
    );
    Readable::each(&statement.query(client, &[&super::task::known_kinds()]).await?, key, stored)
}

/// All schedules of a kind, by name.
pub async fn of_kind<C: GenericClient>(client: &C, kind: TaskKind) -> Result<Vec<Stored>, Error> {
    let statement = statement!(
        "schedule.of_kind",
        format!("select {COLUMNS} from schedule where kind = $1 order by name")
    );
    statement.query(client, &[&kind.as_str()]).await?.iter().map(stored).collect()
}

/// The known kinds of which a schedule has exactly this name.
pub async fn kinds_of<C: GenericClient>(client: &C, name: &str) -> Result<Vec<TaskKind>, Error> {
    let statement = statement!(
        "schedule.kinds_of",
        "select kind from schedule where name = $1 and kind = any($2) order by kind"
    );
    let rows = statement.query(client, &[&name, &super::task::known_kinds()]).await?;
    rows.iter().map(|row| parsed(row, "kind")).collect()
}

/// The known kinds of which a job has schedules.
pub async fn kinds_of_job<C: GenericClient>(client: &C, job: &JobName) -> Result<Vec<TaskKind>, Error> {
    let statement = statement!(
        "schedule.kinds_of_job",
        "select distinct s.kind from schedule s join job j on j.id = s.job_id
         where j.name = $1 and s.kind = any($2) order by s.kind"
    );
    let rows = statement.query(client, &[&job.as_str(), &super::task::known_kinds()]).await?;
    rows.iter().map(|row| parsed(row, "kind")).collect()
}

/// Which schedule it is, also when no more of it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its number.
    pub id: i32,
    /// Its kind and its name.
    pub name: String,
}

/// Takes up to `limit` schedules that fire, those that are late first, and keeps others from seeing to them until the transaction
/// ends.
pub async fn take_firing(
    transaction: &Transaction<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Readable<Stored, Key>, Error> {
    let statement = statement!(
        "schedule.take_firing",
        format!(
            "select {COLUMNS} from schedule
         where fires_at <= $1 and paused_at is null and kind = any($2)
             and (job_id is null or exists (select from job where job.id = job_id and job.active))
         order by fires_at limit $3 for update skip locked"
        )
    );
    let rows = statement.query(transaction, &[&now, &super::task::known_kinds(), &limit]).await?;
    Readable::each(&rows, key, stored)
}

/// Has schedules that were taken fire again at a moment, with the due times that they have.
pub async fn put_off(
    transaction: &Transaction<'_>,
    schedules: &[i32],
    until: DateTime<Utc>,
) -> Result<(), Error> {
    let statement = statement!("schedule.put_off", "update schedule set fires_at = $2 where id = any($1)");
    statement.execute(transaction, &[&schedules, &until]).await?;
    Ok(())
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
    let statement = statement!(
        "schedule.note",
        "insert into schedule_run (schedule_id, due_at, task_id)
         select * from unnest($1::integer[], $2::timestamptz[], $3::uuid[])
         on conflict do nothing returning task_id"
    );
    let schedules: Vec<i32> = runs.iter().map(|run| run.schedule).collect();
    let due: Vec<DateTime<Utc>> = runs.iter().map(|run| run.due_at).collect();
    let tasks: Vec<Option<uuid::Uuid>> = runs.iter().map(|run| run.task.map(|task| task.0)).collect();
    let rows = statement.query(transaction, &[&schedules, &due, &tasks]).await?;
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
    let statement = statement!(
        "schedule.advance",
        "update schedule s set next_due = a.next_due, fires_at = a.fires_at, last_task = coalesce(a.task, s.last_task)
         from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], $4::uuid[]) as a(id, next_due, fires_at, task)
         where s.id = a.id"
    );
    let ids: Vec<i32> = advances.iter().map(|advance| advance.schedule).collect();
    let (due, fires): (Vec<_>, Vec<_>) = advances
        .iter()
        .map(|advance| (advance.next.map(|next| next.0), advance.next.map(|next| next.1)))
        .unzip();
    let tasks: Vec<Option<uuid::Uuid>> =
        advances.iter().map(|advance| advance.last_task.map(|task| task.0)).collect();
    statement.execute(transaction, &[&ids, &due, &fires, &tasks]).await?;
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
    let statement = statement!(
        "schedule.open",
        "select id, false as runs from task where id = any($1)
         union all select task_id, true from lease where task_id = any($1)"
    );
    let ids: Vec<uuid::Uuid> = tasks.iter().map(|task| task.0).collect();
    let rows = statement.query(client, &[&ids]).await?;
    let open = |row: &Row| {
        let open = if row.try_get("runs")? { Open::Runs } else { Open::Waits };
        Ok((TaskId(row.try_get("id")?), open))
    };
    rows.iter().map(open).collect()
}

/// Pauses a schedule, or all of a kind that a job has, or lets them go on from now: what was due meanwhile is caught up as each
/// says. Returns how many there are.
pub async fn set_paused<C: GenericClient>(
    client: &C,
    kind: TaskKind,
    name: &str,
    by: Option<&str>,
) -> Result<u64, Error> {
    let statement = statement!(
        "schedule.set_paused",
        "update schedule set paused_by = $3, paused_at = case when $3::text is null then null else now() end
         where kind = $1 and (name = $2 or starts_with(name, $2 || '/'))"
    );
    Ok(statement.execute(client, &[&kind.as_str(), &name, &by]).await?)
}

/// Which due times are old: each schedule knows by itself where it goes on.
pub(super) const OLD: &str = "seen_at < now() - interval '30 days'";

/// Forgets due times that were seen to 30 days ago, at most `limit`; returns how many.
pub async fn forget<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "schedule.forget",
        format!(
            "delete from schedule_run where ctid = any(array(select ctid from schedule_run where {OLD} limit $1))"
        )
    );
    Ok(statement.execute(client, &[&limit]).await?)
}

/// The schedule of a name, or all of the kind that a job of that name has; kept from others until the transaction ends.
pub async fn lock_named(
    transaction: &Transaction<'_>,
    kind: TaskKind,
    name: &str,
) -> Result<Vec<Stored>, Error> {
    let statement = statement!(
        "schedule.lock_named",
        format!(
            "select {COLUMNS} from schedule where kind = $1 and (name = $2 or starts_with(name, $2 || '/'))
         order by name for update"
        )
    );
    statement.query(transaction, &[&kind.as_str(), &name]).await?.iter().map(stored).collect()
}

/// Notes what was enqueued last, where no due time asked for it.
pub async fn set_last_task(transaction: &Transaction<'_>, schedule: i32, task: TaskId) -> Result<(), Error> {
    let statement = statement!("schedule.set_last_task", "update schedule set last_task = $2 where id = $1");
    statement.execute(transaction, &[&schedule, &task.0]).await?;
    Ok(())
}

/// How many schedules there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Those that enqueue when their time comes, if their job is active.
    pub active: i64,
    /// Those that people have paused.
    pub paused: i64,
}

/// Counts the schedules.
pub async fn counts<C: GenericClient>(client: &C) -> Result<Counts, Error> {
    let statement = statement!(
        "schedule.counts",
        "select count(*) filter (where paused_at is null) as active, count(*) filter (where paused_at is not null) as paused from schedule"
    );
    let row = statement.query_one(client, &[]).await?;
    Ok(Counts { active: row.try_get("active")?, paused: row.try_get("paused")? })
}

fn key(row: &Row) -> Result<Key, Error> {
    let name = format!("{}/{}", row.try_get::<_, &str>("kind")?, row.try_get::<_, &str>("name")?);
    Ok(Key { id: row.try_get("id")?, name })
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
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
