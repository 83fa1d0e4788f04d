//! Table `job`, with `job_target`.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, from_json, parsed};
use crate::job::{Job, JobId, JobName};
use crate::message::{Refusal, TaskMessage};
use crate::target::{Target, TargetId, TargetName, TargetState};
use crate::task::{Priority, TaskId, TaskKind};

/// What a message needs to know of the job that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Its number.
    pub id: JobId,
    /// Whether it takes tasks.
    pub active: bool,
    /// Whether it was taken away. Then it takes no tasks, but what it left behind can still be restored.
    pub removed: bool,
    /// The highest priority that tasks from others may have.
    pub priority: Priority,
    /// Whether another system backs it up, and reports that.
    pub reported: bool,
}

impl Reference {
    /// Whether the job takes tasks of a kind.
    ///
    /// # Errors
    /// Why it takes none.
    pub fn takes(&self, kind: TaskKind, job: &JobName) -> Result<(), Refusal> {
        if !self.active {
            return Err(Refusal::InactiveJob(job.to_string()));
        }
        let why = match (self.reported, kind == TaskKind::Record) {
            (true, false) => "another system backs it up, and reports that with `record` tasks",
            (false, true) => "only a job whose source is `reported` does",
            _ => return Ok(()),
        };
        Err(Refusal::WrongSource { job: job.to_string(), kind, why })
    }
}

/// A job as stored.
#[derive(Debug, Clone)]
pub struct StoredJob {
    /// Its number.
    pub id: JobId,
    /// Its definition.
    pub job: Job,
    /// Whether it takes tasks: what was taken away does not, whatever its definition says.
    pub active: bool,
    /// How often it was changed, from 1.
    pub version: i32,
    /// When it was defined for the first time.
    pub created_at: DateTime<Utc>,
}

/// A target of a job as stored, in the job's order.
#[derive(Debug, Clone)]
pub struct JobTarget {
    /// Whose target.
    pub job: JobId,
    /// Its number.
    pub id: TargetId,
    /// Its definition.
    pub target: Target,
    /// Whether it may be used now.
    pub state: TargetState,
    /// When its definition or its state was changed last.
    pub changed_at: DateTime<Utc>,
}

/// A job that is to be written, with the numbers of its targets in its own order.
#[derive(Debug, Clone, PartialEq)]
pub struct Defined<'a> {
    /// Its definition.
    pub job: &'a Job,
    /// Where its copies go.
    pub targets: Vec<TargetId>,
}

/// Writes definitions, each once: new rows, or the next versions of rows that differ; one that was taken away comes back. Also
/// makes the rows that recorders of the jobs' evidence lock. Returns the jobs' numbers.
pub async fn upsert(
    transaction: &Transaction<'_>,
    jobs: &[Defined<'_>],
) -> Result<HashMap<JobName, JobId>, Error> {
    let statement = statement!(
        "job.upsert",
        "insert into job (name, definition, active)
         select * from unnest($1::text[], $2::jsonb[], $3::boolean[])
         on conflict (name) do update set definition = excluded.definition, active = excluded.active,
             removed_at = null, version = job.version + 1, updated_at = now()
         returning id, name"
    );
    let names: Vec<&str> = jobs.iter().map(|defined| defined.job.name.as_str()).collect();
    let definitions: Vec<_> = jobs.iter().map(|defined| Json(defined.job)).collect();
    let active: Vec<bool> = jobs.iter().map(|defined| defined.job.active).collect();
    let rows = statement.query(transaction, &[&names, &definitions, &active]).await?;
    let ids: HashMap<JobName, JobId> = rows
        .iter()
        .map(|row| Ok((parsed(row, "name")?, JobId(row.try_get("id")?))))
        .collect::<Result<_, Error>>()?;
    link(transaction, jobs, &ids).await?;
    // A job that has one keeps it.
    let statement =
        statement!("job.add_compliance", "insert into compliance (job_id) select unnest($1::integer[])");
    let all: Vec<i32> = ids.values().map(|id| id.0).collect();
    statement.execute(transaction, &[&all]).await?;
    Ok(ids)
}

async fn link(
    transaction: &Transaction<'_>,
    jobs: &[Defined<'_>],
    ids: &HashMap<JobName, JobId>,
) -> Result<(), Error> {
    let all: Vec<i32> = ids.values().map(|id| id.0).collect();
    statement!("job.unlink", "delete from job_target where job_id = any($1)")
        .execute(transaction, &[&all])
        .await?;
    let (mut of, mut targets, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    for Defined { job, targets: its } in jobs {
        let Some(id) = ids.get(&job.name) else { continue };
        for (position, target) in (0_i16..).zip(its) {
            of.push(id.0);
            targets.push(target.0);
            positions.push(position);
        }
    }
    let statement = statement!(
        "job.link",
        "insert into job_target (job_id, target_id, position)
         select * from unnest($1::integer[], $2::integer[], $3::smallint[])"
    );
    statement.execute(transaction, &[&of, &targets, &positions]).await?;
    Ok(())
}

/// Takes jobs away: they take no tasks and are in no list. What they left behind stays.
pub async fn remove(transaction: &Transaction<'_>, ids: &[JobId]) -> Result<(), Error> {
    let statement = statement!(
        "job.remove",
        "update job set active = false, removed_at = now(), version = version + 1, updated_at = now()
         where id = any($1)"
    );
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    statement.execute(transaction, &[&ids]).await?;
    Ok(())
}

/// Finds jobs by their names, also those that were taken away; names without a job are absent from the answer.
pub async fn resolve<C: GenericClient>(
    client: &C,
    names: &[&JobName],
) -> Result<HashMap<JobName, Reference>, Error> {
    let statement = statement!(
        "job.resolve",
        "select id, name, active, removed_at is not null as removed, definition ->> 'priority' as priority, \
             definition -> 'source' ->> 'kind' = 'reported' as reported
         from job where name = any($1)"
    );
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let rows = statement.query(client, &[&names]).await?;
    rows.iter()
        .map(|row| {
            let reference = Reference {
                id: JobId(row.try_get("id")?),
                active: row.try_get("active")?,
                removed: row.try_get("removed")?,
                priority: parsed(row, "priority")?,
                reported: row.try_get("reported")?,
            };
            Ok((parsed(row, "name")?, reference))
        })
        .collect()
}

/// The job that a message names among those that [`resolve`] found, if it takes tasks; none for a message without one.
///
/// # Errors
/// Why the task cannot be accepted.
pub fn accept<S: std::hash::BuildHasher>(
    message: &TaskMessage,
    jobs: &HashMap<JobName, Reference, S>,
) -> Result<Option<JobId>, Refusal> {
    let Some(name) = &message.job else { return Ok(None) };
    match jobs.get(name) {
        None | Some(Reference { removed: true, .. }) => Err(Refusal::UnknownJob(name.to_string())),
        Some(job) => job.takes(message.kind, name).map(|()| Some(job.id)),
    }
}

/// The tasks among messages that others may not ask for: of a kind that is not for them, or of a priority above what their job
/// allows. What our own processes asked for is known already, and travels as they wish.
///
/// A message whose job is unknown is not among them.
pub async fn presumptuous<C: GenericClient, S: std::hash::BuildHasher>(
    client: &C,
    messages: impl IntoIterator<Item = &TaskMessage>,
    jobs: &HashMap<JobName, Reference, S>,
) -> Result<HashMap<TaskId, Refusal>, Error> {
    let above = |message: &TaskMessage| {
        if !message.kind.is_for_others() {
            let why = format!("only Holdfast itself asks for tasks of kind {}", message.kind);
            return Some((message.id, Refusal::UnknownKind(why)));
        }
        let job = jobs.get(message.job.as_ref()?)?;
        let is_above = message.priority == Priority::High && job.priority == Priority::Normal;
        is_above.then(|| {
            (
                message.id,
                Refusal::PriorityTooHigh(message.job.as_ref().map_or_else(String::new, ToString::to_string)),
            )
        })
    };
    let mut above: HashMap<TaskId, Refusal> = messages.into_iter().filter_map(above).collect();
    if !above.is_empty() {
        let ids: Vec<TaskId> = above.keys().copied().collect();
        for known in super::known_id::known(client, &ids).await? {
            above.remove(&known);
        }
    }
    Ok(above)
}

/// What the limits of a job's tasks go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobKeys {
    /// Which job.
    pub id: JobId,
    /// Its name.
    pub name: JobName,
    /// Its owner.
    pub owner: String,
    /// The failure domain of its source.
    pub source: String,
    /// Its first target.
    pub target: Option<TargetName>,
    /// Whether it takes tasks.
    pub active: bool,
}

/// Reads what the limits of all jobs' tasks go by, also of those that were taken away: what they had begun goes on.
pub async fn keys<C: GenericClient>(client: &C) -> Result<Vec<JobKeys>, Error> {
    let statement = statement!(
        "job.keys",
        "select id, name, active, definition ->> 'owner' as owner, \
             definition -> 'source' -> 'place' ->> 'failure_domain' as source, definition -> 'targets' ->> 0 as target
         from job"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            let target: Option<&str> = row.try_get("target")?;
            Ok(JobKeys {
                id: JobId(row.try_get("id")?),
                name: parsed(row, "name")?,
                owner: row.try_get("owner")?,
                source: row.try_get("source")?,
                target: if target.is_some() { Some(parsed(row, "target")?) } else { None },
                active: row.try_get("active")?,
            })
        })
        .collect()
}

/// Reads definitions by number; unknown numbers are absent from the answer.
pub async fn load<C: GenericClient>(client: &C, ids: &[JobId]) -> Result<Vec<StoredJob>, Error> {
    let statement = statement!(
        "job.load",
        "select id, definition, active, version, created_at from job where id = any($1)"
    );
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    statement.query(client, &[&ids]).await?.iter().map(stored).collect()
}

/// The priorities of jobs; one whose priority this version does not know is absent. No other part of their definitions is read.
pub async fn priorities<C: GenericClient>(
    client: &C,
    ids: &[JobId],
) -> Result<BTreeMap<JobId, Priority>, Error> {
    let statement = statement!(
        "job.priorities",
        "select id, definition ->> 'priority' as priority from job where id = any($1)"
    );
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let mut priorities = BTreeMap::new();
    for row in statement.query(client, &[&ids]).await? {
        let priority: Option<&str> = row.try_get("priority")?;
        if let Some(Ok(priority)) = priority.map(str::parse) {
            priorities.insert(JobId(row.try_get("id")?), priority);
        }
    }
    Ok(priorities)
}

/// Reads all definitions, by name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<StoredJob>, Error> {
    let statement = statement!(
        "job.all",
        "select id, definition, active, version, created_at from job where removed_at is null order by name"
    );
    statement.query(client, &[]).await?.iter().map(stored).collect()
}

/// Reads the definitions of active jobs; one that cannot be read is told by its number.
pub async fn active<C: GenericClient>(client: &C) -> Result<Readable<StoredJob, JobId>, Error> {
    let statement = statement!(
        "job.active",
        "select id, definition, active, version, created_at from job where active and removed_at is null"
    );
    let rows = statement.query(client, &[]).await?;
    Readable::each(&rows, |row| Ok(JobId(row.try_get("id")?)), stored)
}

/// Jobs for reports: those that are defined, of one name or one owner where that is asked for, by name.
pub async fn about<C: GenericClient>(
    client: &C,
    name: Option<&JobName>,
    owner: Option<&str>,
) -> Result<Vec<StoredJob>, Error> {
    let statement = statement!("job.about", "select id, definition, active, version, created_at from job
         where removed_at is null and ($1::text is null or name = $1) and ($2::text is null or definition ->> 'owner' = $2)
         order by name");
    statement.query(client, &[&name.map(JobName::as_str), &owner]).await?.iter().map(stored).collect()
}

/// Which of some owners any job has that was not removed.
pub async fn owners_among<C: GenericClient>(client: &C, owners: &[&str]) -> Result<HashSet<String>, Error> {
    let statement = statement!(
        "job.owners_among",
        "select distinct definition ->> 'owner' from job where removed_at is null and definition ->> 'owner' = any($1)"
    );
    let rows = statement.query(client, &[&owners]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The names of jobs, also of those that were taken away.
pub async fn names<C: GenericClient>(client: &C, ids: &[JobId]) -> Result<HashMap<JobId, String>, Error> {
    let statement = statement!("job.names", "select id, name from job where id = any($1)");
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(client, &[&ids]).await?;
    rows.iter().map(|row| Ok((JobId(row.try_get("id")?), row.try_get("name")?))).collect()
}

fn stored(row: &tokio_postgres::Row) -> Result<StoredJob, Error> {
    Ok(StoredJob {
        id: JobId(row.try_get("id")?),
        job: from_json(row, "definition")?,
        active: row.try_get("active")?,
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
    })
}

/// Reads the targets of jobs, each job's in its own order.
pub async fn targets<C: GenericClient>(client: &C, ids: &[JobId]) -> Result<Vec<JobTarget>, Error> {
    let statement = statement!(
        "job.targets",
        "select jt.job_id, t.id, t.definition, t.state, t.updated_at
         from job_target jt join target t on t.id = jt.target_id
         where jt.job_id = any($1) order by jt.job_id, jt.position"
    );
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(client, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            Ok(JobTarget {
                job: JobId(row.try_get("job_id")?),
                id: TargetId(row.try_get("id")?),
                target: from_json(row, "definition")?,
                state: parsed(row, "state")?,
                changed_at: row.try_get("updated_at")?,
            })
        })
        .collect()
}

/// Makes those who change definitions take turns until their transactions end, so that each sees what it changes.
pub async fn lock_definitions(transaction: &Transaction<'_>) -> Result<(), Error> {
    statement!("job.lock_definitions", "select value from definitions_version for update")
        .execute(transaction, &[])
        .await?;
    Ok(())
}

/// Counts the changes of definitions and of targets' states: what was read after this value was read is at least that new.
pub async fn definitions_version<C: GenericClient>(client: &C) -> Result<i64, Error> {
    let statement = statement!("job.definitions_version", "select value from definitions_version");
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// The jobs that keep restore points on a target, by name, but for what others reported.
pub async fn with_points_on<C: GenericClient>(
    client: &C,
    target: &TargetName,
) -> Result<Vec<JobName>, Error> {
    let statement = statement!(
        "job.with_points_on",
        "select j.name from job j where exists (
             select from restore_point r join target t on t.id = r.target_id
             where r.job_id = j.id and r.forgotten_at is null and not r.reported and t.name = $1)
         order by j.name"
    );
    let rows = statement.query(client, &[&target.as_str()]).await?;
    rows.iter().map(|row| parsed(row, "name")).collect()
}
