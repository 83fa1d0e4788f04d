//! Table `task`: what waits. It is the outbox as well: the relay publishes a row when its `publish_at` has come.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Error;
use super::columns::{ARRAYS, Columns, NAMES, task_of};
use super::statement::statement;
use crate::job::{JobId, JobName};
use crate::message::TaskMessage;
use crate::params::Params;
use crate::target::TargetName;
use crate::task::{Priority, Task, TaskId, TaskKind};

/// How long the relay has for a confirm before another one may publish the row again, in seconds.
const CONFIRM_SECONDS: f64 = 30.0;

/// A waiting row.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The task.
    pub task: Task,
    /// When it may be claimed; `None` until something wakes it.
    pub run_at: Option<DateTime<Utc>>,
    /// What wakes it.
    pub waiting_for: Option<String>,
    /// Attempts that counted.
    pub attempt: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
    /// Owners so far.
    pub epoch: i64,
    /// What the last attempt said.
    pub last_error: Option<String>,
}

impl Waiting {
    /// A task that was never tried and may run now.
    #[must_use]
    pub fn new(task: Task, run_at: DateTime<Utc>) -> Self {
        Self {
            task,
            run_at: Some(run_at),
            waiting_for: None,
            attempt: 0,
            rescues: 0,
            epoch: 0,
            last_error: None,
        }
    }
}

/// Writes waiting rows; they are published when their time has come. Their ids must be known already.
pub async fn insert(transaction: &Transaction<'_>, rows: &[Waiting]) -> Result<(), Error> {
    let statement = statement!(
        "task.insert",
        format!(
            "insert into task (id, {NAMES}, run_at, publish_at, waiting_for, attempt, rescues, epoch, last_error)
         select id, {NAMES}, coalesce(run_at, 'infinity'), coalesce(run_at, 'infinity'), waiting_for, attempt, \
             rescues, epoch, last_error
         from unnest({ARRAYS}, $10::timestamptz[], $11::text[], $12::integer[], $13::integer[], $14::bigint[], $15::text[])
             as t(id, {NAMES}, run_at, waiting_for, attempt, rescues, epoch, last_error)"
        )
    );
    let columns = Columns::of(rows.iter().map(|row| &row.task));
    let run_at: Vec<_> = rows.iter().map(|row| row.run_at).collect();
    let waiting_for: Vec<_> = rows.iter().map(|row| row.waiting_for.as_deref()).collect();
    let attempt: Vec<_> = rows.iter().map(|row| row.attempt).collect();
    let rescues: Vec<_> = rows.iter().map(|row| row.rescues).collect();
    let epoch: Vec<_> = rows.iter().map(|row| row.epoch).collect();
    let last_error: Vec<_> = rows.iter().map(|row| row.last_error.as_deref()).collect();
    let values = columns.and(&[&run_at, &waiting_for, &attempt, &rescues, &epoch, &last_error]);
    statement.execute(transaction, &values).await?;
    Ok(())
}

/// A row that the relay has taken to publish.
#[derive(Debug)]
pub struct Due {
    /// What to publish.
    pub message: TaskMessage,
    /// Which publication of the row this is: owners so far, and publications since the last one.
    pub publication: (i64, i32),
}

/// The kinds that this version knows: rows of others, written by a newer version, are left to it.
pub(super) fn known_kinds() -> Vec<&'static str> {
    TaskKind::ALL.iter().map(|kind| kind.as_str()).collect()
}

/// Takes rows whose time has come: of each queue the oldest, up to its number. Other relays leave them alone for a while; what
/// is not marked as published by then is taken again.
pub async fn take_due<C: GenericClient>(
    client: &C,
    queues: &[(TaskKind, Priority, i64)],
) -> Result<Vec<Due>, Error> {
    let statement = statement!(
        "task.take_due",
        "with due as (
             select t.id from unnest($1::text[], $2::text[], $3::bigint[]) as q(kind, priority, most), lateral (
                 select id from task where kind = q.kind and priority = q.priority and publish_at <= now()
                 order by publish_at limit q.most for update skip locked) as t)
         update task t set publish_at = now() + make_interval(secs => $4), publication = publication + 1
         where t.id = any(array(select id from due))
         returning t.*, (select name from job where job.id = t.job_id) as job"
    );
    let kinds: Vec<&str> = queues.iter().map(|(kind, ..)| kind.as_str()).collect();
    let priorities: Vec<&str> = queues.iter().map(|(_, priority, _)| priority.as_str()).collect();
    let most: Vec<i64> = queues.iter().map(|(.., most)| *most).collect();
    let rows = statement.query(client, &[&kinds, &priorities, &most, &CONFIRM_SECONDS]).await?;
    rows.iter()
        .map(|row| {
            let job: Option<String> = row.try_get("job")?;
            let job =
                job.map(|name| name.parse()).transpose().map_err(|error: crate::name::InvalidName| {
                    Error::Value { column: "job", why: error.to_string() }
                })?;
            let task = task_of(row, "id")?;
            let publication = (row.try_get("epoch")?, row.try_get("publication")?);
            Ok(Due { message: TaskMessage::new(&task, job), publication })
        })
        .collect()
}

/// Marks publications as confirmed. A row that is gone, or was published again since, is left alone: the attempt
/// was faster than the mark.
///
/// What nobody claims comes due again after `again`, because the broker may have been wiped; each time twice as late,
/// because a long backlog looks the same.
pub async fn mark_published<C: GenericClient>(
    client: &C,
    confirmed: &[(TaskId, (i64, i32))],
    again: Duration,
) -> Result<u64, Error> {
    let statement = statement!(
        "task.mark_published",
        "with mine as (
             select id from task
             where id = any($1) and ((id, epoch, publication) in (
                     select * from unnest($1::uuid[], $2::bigint[], $3::integer[]))) is true
                 and publish_at < 'infinity' order by id for update skip locked)
         update task set publish_at = now() + make_interval(secs => $4 * power(2, least(confirmed, 8))), \
             confirmed = confirmed + 1
         where id = any(array(select id from mine))"
    );
    let (ids, epochs, publications) = columns(confirmed);
    let again = again.as_secs_f64();
    Ok(statement.execute(client, &[&ids, &epochs, &publications, &again]).await?)
}

/// Has publications that were not confirmed taken again soon. In doubt they were published: an id runs once.
pub async fn publish_again<C: GenericClient>(
    client: &C,
    failed: &[(TaskId, (i64, i32))],
) -> Result<u64, Error> {
    let statement = statement!(
        "task.publish_again",
        "with mine as (
             select id from task
             where id = any($1) and ((id, epoch, publication) in (
                     select * from unnest($1::uuid[], $2::bigint[], $3::integer[]))) is true
                 and publish_at < 'infinity' order by id for update skip locked)
         update task set publish_at = now() + interval '1 second' where id = any(array(select id from mine))"
    );
    let (ids, epochs, publications) = columns(failed);
    Ok(statement.execute(client, &[&ids, &epochs, &publications]).await?)
}

fn columns(publications: &[(TaskId, (i64, i32))]) -> (Vec<Uuid>, Vec<i64>, Vec<i32>) {
    let ids = publications.iter().map(|(id, _)| id.0).collect();
    let epochs = publications.iter().map(|(_, (epoch, _))| *epoch).collect();
    (ids, epochs, publications.iter().map(|(_, (_, publication))| *publication).collect())
}

/// Puts off rows that were delivered but cannot start now, by `seconds` each. A row that waits for later anyway is
/// left alone: its delivery was a stale copy.
pub async fn put_off(transaction: &Transaction<'_>, rows: &[(TaskId, f64)]) -> Result<u64, Error> {
    let statement = statement!(
        "task.put_off",
        "with mine as (
             select t.id, p.seconds from task t join unnest($1::uuid[], $2::float8[]) as p(id, seconds)
                 on t.id = p.id
             where t.run_at <= now() order by t.id for update of t)
         update task t set run_at = now() + make_interval(secs => mine.seconds),
             publish_at = now() + make_interval(secs => mine.seconds), publication = t.publication + 1, confirmed = 0
         from mine where t.id = mine.id"
    );
    let ids: Vec<Uuid> = rows.iter().map(|(id, _)| id.0).collect();
    let seconds: Vec<f64> = rows.iter().map(|(_, seconds)| *seconds).collect();
    Ok(statement.execute(transaction, &[&ids, &seconds]).await?)
}

/// What a task waits for whose target is away.
#[must_use]
pub fn waiting_for(target: &TargetName) -> String {
    format!("target:{target}")
}

/// Wakes what waits for a target that is attached; returns how many. A task that begins to wait while its target
/// comes back is missed by the wake of that return.
pub async fn wake_missed<C: GenericClient>(client: &C) -> Result<u64, Error> {
    let statement = statement!(
        "task.wake_missed",
        "update task set run_at = now(), publish_at = now(), waiting_for = null
         where waiting_for = any(array(select 'target:' || name from target where state = 'attached'))"
    );
    Ok(statement.execute(client, &[]).await?)
}

/// Wakes what waits for `waiting_for`; returns how many.
pub async fn wake<C: GenericClient>(client: &C, waiting_for: &str) -> Result<u64, Error> {
    let statement = statement!(
        "task.wake",
        "update task set run_at = now(), publish_at = now(), waiting_for = null where waiting_for = $1"
    );
    Ok(statement.execute(client, &[&waiting_for]).await?)
}

/// Takes a waiting task out, because a person asked for its end, and records that; `false` if it does not wait.
pub async fn cancel<C: GenericClient>(client: &C, id: TaskId, by: &str) -> Result<bool, Error> {
    // One statement: what is claimed at the same moment is either still here or gone already.
    let statement = statement!(
        "task.cancel",
        "with gone as (delete from task where id = $1 returning *)
         insert into execution (task_id, kind, job_id, requested_by, enqueued_at, traceparent, tracestate, epoch, \
             attempt, outcome, started_at, seconds, error)
         select id, kind, job_id, requested_by, enqueued_at, traceparent, tracestate, epoch, attempt, 'cancelled', \
             now(), 0, 'cancelled by ' || $2
         from gone"
    );
    Ok(statement.execute(client, &[&id.0, &by]).await? == 1)
}

/// Where a task is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No id of the window is this one.
    Unknown,
    /// It waits; perhaps for something.
    Queued {
        /// What wakes it.
        waiting_for: Option<String>,
        /// What the last attempt said.
        last_error: Option<String>,
    },
    /// It runs.
    Running {
        /// What the executor reported last.
        progress: Option<Value>,
        /// Who asked for its end, if somebody did.
        cancelled_by: Option<String>,
    },
    /// It is finished.
    Succeeded,
    /// A person ended it.
    Cancelled,
    /// It will not run again by itself.
    Dead {
        /// What the last attempt said.
        last_error: String,
    },
}

/// Looks where a task is.
pub async fn state<C: GenericClient>(client: &C, id: TaskId) -> Result<State, Error> {
    // One statement, so that a task on its way from one table to the next is seen in one of them.
    let statement = statement!(
        "task.state",
        "select exists (select from known_id where id = $1) as known, t.id as queued, t.waiting_for, \
             t.last_error, l.task_id as running, l.progress, l.cancelled_by, d.id as dead, d.last_error as cause, \
             (select outcome from execution e where e.task_id = $1 order by finished_at desc limit 1) as outcome
         from (select $1::uuid as id) i left join task t on t.id = i.id left join lease l on l.task_id = i.id
             left join dead_task d on d.id = i.id"
    );
    let row = statement.query_one(client, &[&id.0]).await?;
    let is = |column: &str| row.try_get::<_, Option<Uuid>>(column).map(|id| id.is_some());
    Ok(if is("dead")? {
        State::Dead { last_error: row.try_get("cause")? }
    } else if is("running")? {
        State::Running { progress: row.try_get("progress")?, cancelled_by: row.try_get("cancelled_by")? }
    } else if is("queued")? {
        State::Queued { waiting_for: row.try_get("waiting_for")?, last_error: row.try_get("last_error")? }
    } else {
        match row.try_get::<_, Option<&str>>("outcome")? {
            Some("cancelled") => State::Cancelled,
            Some(_) => State::Succeeded,
            // Its executions may be older than what is kept of them.
            None if row.try_get("known")? => State::Succeeded,
            None => State::Unknown,
        }
    })
}

/// Which waiting or running tasks are meant; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// This one.
    pub id: Option<TaskId>,
    /// Of one kind.
    pub kind: Option<TaskKind>,
    /// Of one job.
    pub job: Option<JobName>,
}

impl Which {
    /// One task.
    #[must_use]
    pub fn one(id: TaskId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// As the statements take it.
    pub(super) fn columns(&self) -> (Option<Uuid>, Option<&'static str>, Option<&str>) {
        (self.id.map(|id| id.0), self.kind.map(TaskKind::as_str), self.job.as_ref().map(JobName::as_str))
    }
}

/// A waiting task as people see it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// Which task.
    pub id: TaskId,
    /// Its kind; perhaps one that only a newer version knows.
    pub kind: String,
    /// Its queue.
    pub priority: String,
    /// Its job's name.
    pub job: Option<String>,
    /// What it needs beside the job.
    pub params: Params,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub enqueued_at: DateTime<Utc>,
    /// When it may be claimed; `None` until something wakes it.
    pub run_at: Option<DateTime<Utc>>,
    /// What wakes it.
    pub waiting_for: Option<String>,
    /// Since when it has stood in line for a limit.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Attempts that counted.
    pub attempt: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
    /// What the last attempt said.
    pub last_error: Option<String>,
}

/// What waits, in the order in which it may be claimed, at most `limit`.
pub async fn list<C: GenericClient>(client: &C, which: &Which, limit: i64) -> Result<Vec<Listed>, Error> {
    let statement = statement!(
        "task.list",
        "select t.id, t.kind, t.priority, j.name as job, t.params, t.requested_by, t.enqueued_at, \
             nullif(t.run_at, 'infinity') as run_at, t.waiting_for, t.waiting_since, t.attempt, t.rescues, t.last_error
         from task t left join job j on j.id = t.job_id
         where ($1::uuid is null or t.id = $1) and ($2::text is null or t.kind = $2)
             and ($3::text is null or j.name = $3)
         order by t.run_at, t.id limit $4"
    );
    let (id, kind, job) = which.columns();
    let rows = statement.query(client, &[&id, &kind, &job, &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                id: TaskId(row.try_get("id")?),
                kind: row.try_get("kind")?,
                priority: row.try_get("priority")?,
                job: row.try_get("job")?,
                params: row.try_get("params")?,
                requested_by: row.try_get("requested_by")?,
                enqueued_at: row.try_get("enqueued_at")?,
                run_at: row.try_get("run_at")?,
                waiting_for: row.try_get("waiting_for")?,
                waiting_since: row.try_get("waiting_since")?,
                attempt: row.try_get("attempt")?,
                rescues: row.try_get("rescues")?,
                last_error: row.try_get("last_error")?,
            })
        })
        .collect()
}

/// What some tasks that wait are to work on: their jobs and parameters.
pub async fn work<C: GenericClient>(
    client: &C,
    ids: &[TaskId],
) -> Result<HashMap<TaskId, (Option<JobId>, Params)>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let statement = statement!("task.work", "select id, job_id, params from task where id = any($1)");
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(client, &[&ids]).await?;
    let work = |row: &Row| {
        let job = row.try_get::<_, Option<i32>>("job_id")?.map(JobId);
        Ok((TaskId(row.try_get("id")?), (job, row.try_get("params")?)))
    };
    rows.iter().map(work).collect()
}

/// How many tasks of each kind wait, and how many of these for something that wakes them.
pub async fn count_waiting<C: GenericClient>(client: &C) -> Result<Vec<(String, i64, i64)>, Error> {
    let statement = statement!(
        "task.count_waiting",
        "select kind, count(*), count(waiting_for) from task group by kind order by kind"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
