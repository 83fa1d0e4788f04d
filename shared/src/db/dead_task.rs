//! Table `dead_task`: what will not be tried again by itself. A person decides about each: it is replayed as a new
//! task, or dropped; its row stays until long after that.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::columns::{ARRAYS, Columns, NAMES, task_of};
use super::lease::Leased;
use super::statement::statement;
use super::{Error, parsed};
use crate::job::JobName;
use crate::name::text_enum;
use crate::task::{Task, TaskId, TaskKind};

text_enum! {
    /// Why a task died.
    Reason {
        /// Its last attempt failed.
        Failed = "failed",
        /// Its last attempt took too long.
        TimedOut = "timed_out",
        /// Its job took no tasks any more when its time came.
        Refused = "refused",
        /// Too many workers vanished while they had it.
        Lost = "lost",
    }
}

text_enum! {
    /// What a person decided about a dead task.
    DeadState {
        /// Nothing yet.
        Open = "open",
        /// A new task does its work.
        Replayed = "replayed",
        /// Nobody wants it any more.
        Dropped = "dropped",
    }
}

/// A task that dies.
#[derive(Debug)]
pub struct Dead<'a> {
    /// The task with its last attempt.
    pub leased: &'a Leased,
    /// Why.
    pub reason: Reason,
    /// What the last attempt said.
    pub last_error: String,
}

/// Buries tasks. One that is dead already stays as it is: one bad row must not keep the others of a transaction.
pub async fn insert(transaction: &Transaction<'_>, dead: &[Dead<'_>]) -> Result<(), Error> {
    let statement = statement!(
        "dead_task.insert",
        format!(
            "insert into dead_task (id, {NAMES}, attempts, rescues, reason, last_error)
         select * from unnest({ARRAYS}, $10::integer[], $11::integer[], $12::text[], $13::text[])
         on conflict (id) do nothing"
        )
    );
    let columns = Columns::of(dead.iter().map(|dead| &dead.leased.task));
    let attempts: Vec<_> = dead.iter().map(|dead| dead.leased.attempt).collect();
    let rescues: Vec<_> = dead.iter().map(|dead| dead.leased.rescues).collect();
    let reasons: Vec<_> = dead.iter().map(|dead| dead.reason.as_str()).collect();
    let last_errors: Vec<_> = dead.iter().map(|dead| dead.last_error.as_str()).collect();
    let values = columns.and(&[&attempts, &rescues, &reasons, &last_errors]);
    statement.execute(transaction, &values).await?;
    Ok(())
}

/// Buries those of some refused tasks that wait in the database, with the reason of the refusal; returns them.
pub async fn bury_waiting(
    transaction: &Transaction<'_>,
    refused: &[(TaskId, String)],
) -> Result<HashSet<TaskId>, Error> {
    let statement = statement!(
        "dead_task.bury_waiting",
        format!(
            "with gone as (
             delete from task where id = any($1) returning id, {NAMES}, attempt, rescues)
         insert into dead_task (id, {NAMES}, attempts, rescues, reason, last_error)
         select g.id, {NAMES}, attempt, rescues, 'refused', r.why
         from gone g join (select distinct on (id) * from unnest($1::uuid[], $2::text[]) as u(id, why)) r
             on r.id = g.id
         returning id"
        )
    );
    let ids: Vec<Uuid> = refused.iter().map(|(id, _)| id.0).collect();
    let why: Vec<&str> = refused.iter().map(|(_, why)| why.as_str()).collect();
    let rows = statement.query(transaction, &[&ids, &why]).await?;
    rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
}

/// Which dead tasks are meant; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// These; when empty, all that match the rest.
    pub ids: Vec<TaskId>,
    /// Of one kind.
    pub kind: Option<TaskKind>,
    /// Of one job.
    pub job: Option<JobName>,
    /// That died for one reason.
    pub reason: Option<Reason>,
    /// That died at least so long ago.
    pub older_than: Option<Duration>,
    /// That died at most so long ago.
    pub newer_than: Option<Duration>,
}

/// The conditions of a [`Filter`], with its parameters from $1 to $6.
const MATCHES: &str = "($1::uuid[] = '{}' or d.id = any($1)) and ($2::text is null or d.kind = $2)
     and ($3::text is null or d.job_id = (select id from job where name = $3))
     and ($4::text is null or d.reason = $4)
     and ($5::float8 is null or d.died_at <= now() - make_interval(secs => $5))
     and ($6::float8 is null or d.died_at >= now() - make_interval(secs => $6))";

/// A [`Filter`] as the statements take it.
struct Matching {
    ids: Vec<Uuid>,
    kind: Option<&'static str>,
    job: Option<String>,
    reason: Option<&'static str>,
    older_than: Option<f64>,
    newer_than: Option<f64>,
}

impl Matching {
    fn of(filter: &Filter) -> Self {
        Self {
            ids: filter.ids.iter().map(|id| id.0).collect(),
            kind: filter.kind.map(TaskKind::as_str),
            job: filter.job.as_ref().map(ToString::to_string),
            reason: filter.reason.map(Reason::as_str),
            older_than: filter.older_than.as_ref().map(Duration::as_secs_f64),
            newer_than: filter.newer_than.as_ref().map(Duration::as_secs_f64),
        }
    }

    fn parameters(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 6] {
        [&self.ids, &self.kind, &self.job, &self.reason, &self.older_than, &self.newer_than]
    }
}

/// A dead task as people see it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The task.
    pub task: Task,
    /// Its job's name.
    pub job: Option<JobName>,
    /// How often it was tried.
    pub attempts: i32,
    /// Rescues from lost workers.
    pub rescues: i32,
    /// Why it died.
    pub reason: Reason,
    /// What its last attempt said.
    pub last_error: String,
    /// When it died.
    pub died_at: DateTime<Utc>,
    /// What was decided about it.
    pub state: DeadState,
    /// When.
    pub settled_at: Option<DateTime<Utc>>,
    /// Who decided.
    pub settled_by: Option<String>,
    /// The task that does its work now.
    pub replayed_as: Option<TaskId>,
}

/// Dead tasks, the newest first, at most `limit`; without `settled` only those that nobody has decided about.
pub async fn list<C: GenericClient>(
    client: &C,
    filter: &Filter,
    settled: bool,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let statement = statement!(
        "dead_task.list",
        format!(
            "select d.*, j.name as job from dead_task d left join job j on j.id = d.job_id
         where (d.state = 'open' or $7) and {MATCHES} order by d.died_at desc, d.id desc limit $8"
        )
    );
    let matching = Matching::of(filter);
    let parameters = [&matching.parameters()[..], &[&settled, &limit]].concat();
    statement.query(client, &parameters).await?.iter().map(stored).collect()
}

/// Locks the open dead tasks of a filter, the oldest first, at most `limit`, for a decision in this transaction.
pub async fn lock_open(
    transaction: &Transaction<'_>,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let statement = statement!(
        "dead_task.lock_open",
        format!(
            "select d.*, (select name from job j where j.id = d.job_id) as job from dead_task d
         where d.state = 'open' and {MATCHES} order by d.died_at, d.id limit $7 for update"
        )
    );
    let matching = Matching::of(filter);
    let parameters = [&matching.parameters()[..], &[&limit]].concat();
    statement.query(transaction, &parameters).await?.iter().map(stored).collect()
}

/// Writes down that dead tasks are done again by new ones, as pairs of the dead and the new.
pub async fn mark_replayed(
    transaction: &Transaction<'_>,
    replays: &[(TaskId, TaskId)],
    by: &str,
) -> Result<u64, Error> {
    let statement = statement!(
        "dead_task.mark_replayed",
        "update dead_task d
         set state = 'replayed', settled_at = now(), settled_by = $3, replayed_as = r.new_id
         from unnest($1::uuid[], $2::uuid[]) as r(id, new_id) where d.id = r.id and d.state = 'open'"
    );
    let dead: Vec<Uuid> = replays.iter().map(|(dead, _)| dead.0).collect();
    let new: Vec<Uuid> = replays.iter().map(|(_, new)| new.0).collect();
    Ok(statement.execute(transaction, &[&dead, &new, &by]).await?)
}

/// Writes down that nobody wants dead tasks any more.
pub async fn mark_dropped(transaction: &Transaction<'_>, dropped: &[TaskId], by: &str) -> Result<u64, Error> {
    let statement = statement!(
        "dead_task.mark_dropped",
        "update dead_task set state = 'dropped', settled_at = now(), settled_by = $2
         where id = any($1) and state = 'open'"
    );
    let ids: Vec<Uuid> = dropped.iter().map(|id| id.0).collect();
    Ok(statement.execute(transaction, &[&ids, &by]).await?)
}

/// The dead task that a task does again.
pub async fn replay_of<C: GenericClient>(client: &C, task: TaskId) -> Result<Option<TaskId>, Error> {
    let statement = statement!("dead_task.replay_of", "select id from dead_task where replayed_as = $1");
    let row = statement.query_opt(client, &[&task.0]).await?;
    row.map(|row| Ok(TaskId(row.try_get(0)?))).transpose()
}

/// How many dead tasks nobody has decided about.
pub async fn count<C: GenericClient>(client: &C) -> Result<i64, Error> {
    let statement = statement!("dead_task.count", "select count(*) from dead_task where state = 'open'");
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// The dead tasks of one kind that nobody has decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Their kind; perhaps one that only a newer version knows.
    pub kind: String,
    /// How many.
    pub tasks: i64,
    /// When the first of them died.
    pub since: DateTime<Utc>,
}

/// The dead tasks that nobody has decided about, by kind.
pub async fn open_by_kind<C: GenericClient>(client: &C) -> Result<Vec<Open>, Error> {
    let statement = statement!(
        "dead_task.open_by_kind",
        "select kind, count(*) as tasks, min(died_at) as since from dead_task where state = 'open' group by kind order by kind"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Open {
                kind: row.try_get("kind")?,
                tasks: row.try_get("tasks")?,
                since: row.try_get("since")?,
            })
        })
        .collect()
}

/// Which are old.
pub(super) const OLD: &str = "state <> 'open' and settled_at < now() - interval '90 days'";

/// Removes what a person decided about 90 days ago, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "dead_task.sweep",
        format!("delete from dead_task where id in (select id from dead_task where {OLD} limit $1)")
    );
    Ok(statement.execute(client, &[&limit]).await?)
}

fn stored(row: &tokio_postgres::Row) -> Result<Stored, Error> {
    let job: Option<&str> = row.try_get("job")?;
    let job = job
        .map(str::parse)
        .transpose()
        .map_err(|error: crate::name::InvalidName| Error::Value { column: "job", why: error.to_string() })?;
    Ok(Stored {
        task: task_of(row, "id")?,
        job,
        attempts: row.try_get("attempts")?,
        rescues: row.try_get("rescues")?,
        reason: parsed(row, "reason")?,
        last_error: row.try_get("last_error")?,
        died_at: row.try_get("died_at")?,
        state: parsed(row, "state")?,
        settled_at: row.try_get("settled_at")?,
        settled_by: row.try_get("settled_by")?,
        replayed_as: row.try_get::<_, Option<Uuid>>("replayed_as")?.map(TaskId),
    })
}
