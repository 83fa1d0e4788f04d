//! Table `restore_point`: the snapshots of jobs on targets. Those that were forgotten stay on record, and are found by nobody
//! who looks for data.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::statement::statement;
use super::{Error, signed, unsigned};
use crate::db::execution::Volume;
use crate::job::{JobId, JobName};
use crate::target::{TargetId, TargetName};
use crate::task::{TaskId, TaskKind};
use crate::work::RestorePointId;

/// One snapshot of a job's data on one target.
#[derive(Debug, Clone, PartialEq)]
pub struct RestorePoint {
    /// Its identity.
    pub id: RestorePointId,
    /// Whose data.
    pub job: JobId,
    /// Where.
    pub target: TargetId,
    /// Its id in the repository.
    pub snapshot: String,
    /// The moment whose data it holds; a copy keeps that of its original.
    pub data_time: DateTime<Utc>,
    /// How long it took to write.
    pub seconds: f64,
    /// What it holds.
    pub volume: Volume,
    /// The restore point that it was copied from.
    pub copied_from: Option<RestorePointId>,
    /// The manifest of its source.
    pub manifest: Option<Uuid>,
    /// The task that wrote it.
    pub task: TaskId,
    /// Whether another system only reported it: it has no snapshot that we could read.
    pub reported: bool,
}

/// Writes restore points.
pub async fn insert(transaction: &Transaction<'_>, points: &[&RestorePoint]) -> Result<(), Error> {
    let statement = statement!(
        "restore_point.insert",
        "insert into restore_point (id, job_id, target_id, snapshot, data_time, seconds, files, bytes, \
             bytes_added, source_errors, copied_from, manifest_id, task_id, reported)
         select * from unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::timestamptz[], $6::float8[], \
             $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::uuid[], $12::uuid[], $13::uuid[], \
             $14::boolean[])"
    );
    let each = || points.iter();
    let volume = |part: fn(&Volume) -> u64| -> Vec<i64> { each().map(|p| signed(part(&p.volume))).collect() };
    let id: Vec<_> = each().map(|point| point.id.0).collect();
    let job: Vec<_> = each().map(|point| point.job.0).collect();
    let target: Vec<_> = each().map(|point| point.target.0).collect();
    let snapshot: Vec<_> = each().map(|point| point.snapshot.as_str()).collect();
    let data_time: Vec<_> = each().map(|point| point.data_time).collect();
    let seconds: Vec<_> = each().map(|point| point.seconds).collect();
    let copied_from: Vec<_> = each().map(|point| point.copied_from.map(|id| id.0)).collect();
    let manifest: Vec<_> = each().map(|point| point.manifest).collect();
    let task: Vec<_> = each().map(|point| point.task.0).collect();
    let reported: Vec<_> = each().map(|point| point.reported).collect();
    statement
        .execute(
            transaction,
            &[
                &id,
                &job,
                &target,
                &snapshot,
                &data_time,
                &seconds,
                &volume(|v| v.files),
                &volume(|v| v.bytes),
                &volume(|v| v.bytes_added),
                &volume(|v| v.source_errors),
                &copied_from,
                &manifest,
                &task,
                &reported,
            ],
        )
        .await?;
    Ok(())
}

const COLUMNS: &str = "select r.id, r.job_id, r.target_id, r.snapshot, r.data_time, r.seconds, r.files, r.bytes, \
     r.bytes_added, r.source_errors, r.copied_from, r.manifest_id, r.task_id, r.reported from restore_point r";

/// One restore point by id, unless it was forgotten.
pub async fn by_id<C: GenericClient>(client: &C, id: RestorePointId) -> Result<Option<RestorePoint>, Error> {
    let statement =
        statement!("restore_point.by_id", format!("{COLUMNS} where r.id = $1 and r.forgotten_at is null"));
    statement.query_opt(client, &[&id.0]).await?.as_ref().map(point).transpose()
}

/// When a restore point was forgotten; `None` also if there never was one.
pub async fn forgotten_at<C: GenericClient>(
    client: &C,
    id: RestorePointId,
) -> Result<Option<DateTime<Utc>>, Error> {
    let statement =
        statement!("restore_point.forgotten_at", "select forgotten_at from restore_point where id = $1");
    Ok(statement.query_opt(client, &[&id.0]).await?.map(|row| row.try_get(0)).transpose()?.flatten())
}

/// A job's restore points on a target, the newest first, but for what others reported.
pub async fn of<C: GenericClient>(
    client: &C,
    job: JobId,
    target: TargetId,
) -> Result<Vec<RestorePoint>, Error> {
    let statement = statement!(
        "restore_point.of",
        format!(
            "{COLUMNS} where r.job_id = $1 and r.target_id = $2 and r.forgotten_at is null and not r.reported
         order by r.data_time desc, r.id desc"
        )
    );
    statement.query(client, &[&job.0, &target.0]).await?.iter().map(point).collect()
}

/// A job's newest restore point on a target that is not only reported.
pub async fn newest<C: GenericClient>(
    client: &C,
    job: JobId,
    target: TargetId,
) -> Result<Option<RestorePoint>, Error> {
    let statement = statement!(
        "restore_point.newest",
        format!(
            "{COLUMNS} where r.job_id = $1 and r.target_id = $2 and r.forgotten_at is null and not r.reported
         order by r.data_time desc, r.id desc limit 1"
        )
    );
    statement.query_opt(client, &[&job.0, &target.0]).await?.as_ref().map(point).transpose()
}

/// Joins to a job `j` the newest complete restore point on any of its own targets, also by what others reported, as `n.data_time`.
pub(super) const NEWEST_COMPLETE: &str = "cross join lateral (
             select max(p.data_time) as data_time from job_target jt
             cross join lateral (
                 select r.data_time from restore_point r
                 where r.job_id = j.id and r.target_id = jt.target_id and r.forgotten_at is null and r.source_errors = 0
                 order by r.data_time desc limit 1) p
             where jt.job_id = j.id) n";

/// How recent the backups of a job are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Which job.
    pub job: JobId,
    /// When it was defined.
    pub created_at: DateTime<Utc>,
    /// The moment whose data its newest complete restore point holds, on whatever target of its own; `None` without any.
    pub data_time: Option<DateTime<Utc>>,
}

/// How recent the backups of all active jobs are, also by what others reported.
pub async fn newest_complete<C: GenericClient>(client: &C) -> Result<Vec<Newest>, Error> {
    let statement = statement!(
        "restore_point.newest_complete",
        format!(
            "select j.id, j.created_at, n.data_time from job j {NEWEST_COMPLETE} where j.active order by j.id"
        )
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Newest {
                job: JobId(row.try_get("id")?),
                created_at: row.try_get("created_at")?,
                data_time: row.try_get("data_time")?,
            })
        })
        .collect()
}

/// Which restore points are wanted; all where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only this one.
    pub id: Option<RestorePointId>,
    /// Those whose data is not later.
    pub at: Option<DateTime<Utc>>,
}

/// A job's restore points that can be read now, the newest first, at most 100; of one moment, in the order of the job's
/// targets.
pub async fn reachable<C: GenericClient>(
    client: &C,
    job: JobId,
    wanted: Wanted,
) -> Result<Vec<RestorePoint>, Error> {
    let statement = statement!(
        "restore_point.reachable",
        format!(
            "{COLUMNS} join target t on t.id = r.target_id
             left join job_target jt on jt.job_id = r.job_id and jt.target_id = r.target_id
         where r.job_id = $1 and r.forgotten_at is null and not r.reported and t.state = 'attached'
             and ($2::uuid is null or r.id = $2) and ($3::timestamptz is null or r.data_time <= $3)
         order by r.data_time desc, jt.position limit 100"
        )
    );
    let id = wanted.id.map(|id| id.0);
    statement.query(client, &[&job.0, &id, &wanted.at]).await?.iter().map(point).collect()
}

fn point(row: &tokio_postgres::Row) -> Result<RestorePoint, Error> {
    Ok(RestorePoint {
        id: RestorePointId(row.try_get("id")?),
        job: JobId(row.try_get("job_id")?),
        target: TargetId(row.try_get("target_id")?),
        snapshot: row.try_get("snapshot")?,
        data_time: row.try_get("data_time")?,
        seconds: row.try_get("seconds")?,
        volume: Volume {
            files: unsigned(row.try_get("files")?),
            bytes: unsigned(row.try_get("bytes")?),
            bytes_added: unsigned(row.try_get("bytes_added")?),
            source_errors: unsigned(row.try_get("source_errors")?),
        },
        copied_from: row.try_get::<_, Option<Uuid>>("copied_from")?.map(RestorePointId),
        manifest: row.try_get("manifest_id")?,
        task: TaskId(row.try_get("task_id")?),
        reported: row.try_get("reported")?,
    })
}

/// A restore point as people see it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// Its identity.
    pub id: RestorePointId,
    /// Its job's name.
    pub job: String,
    /// Its target's name.
    pub target: String,
    /// Its id in the repository.
    pub snapshot: String,
    /// The moment whose data it holds.
    pub data_time: DateTime<Utc>,
    /// Entries of the source.
    pub files: i64,
    /// Bytes of the source.
    pub bytes: i64,
    /// Bytes that were stored in addition.
    pub bytes_added: i64,
    /// How long it took to write.
    pub seconds: f64,
    /// Whether another system only reported it.
    pub reported: bool,
}

/// The newest restore point of each job on each of its targets, or of one job's.
pub async fn newest_of_each<C: GenericClient>(
    client: &C,
    job: Option<&JobName>,
) -> Result<Vec<Listed>, Error> {
    let statement = statement!(
        "restore_point.newest_of_each",
        "select r.id, j.name as job, t.name as target, r.snapshot, r.data_time, r.files, r.bytes, \
             r.bytes_added, r.seconds, r.reported
         from job j join job_target jt on jt.job_id = j.id join target t on t.id = jt.target_id
         cross join lateral (
             select * from restore_point p where p.job_id = j.id and p.target_id = t.id and p.forgotten_at is null
             order by p.data_time desc, p.id desc limit 1) r
         where j.removed_at is null and ($1::text is null or j.name = $1) order by j.name, jt.position"
    );
    let rows = statement.query(client, &[&job.map(JobName::as_str)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                id: RestorePointId(row.try_get("id")?),
                job: row.try_get("job")?,
                target: row.try_get("target")?,
                snapshot: row.try_get("snapshot")?,
                data_time: row.try_get("data_time")?,
                files: row.try_get("files")?,
                bytes: row.try_get("bytes")?,
                bytes_added: row.try_get("bytes_added")?,
                seconds: row.try_get("seconds")?,
                reported: row.try_get("reported")?,
            })
        })
        .collect()
}

/// The restore points that a job's tasks name which wait or run, of some kinds. It reads all that waits and runs.
pub async fn named_by_tasks<C: GenericClient>(
    client: &C,
    job: JobId,
    kinds: &[TaskKind],
) -> Result<BTreeSet<RestorePointId>, Error> {
    let statement = statement!(
        "restore_point.named_by_tasks",
        "select params ->> 'restore_point' from task where job_id = $1 and kind = any($2)
         union select params ->> 'restore_point' from lease where job_id = $1 and kind = any($2)"
    );
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let rows = statement.query(client, &[&job.0, &kinds]).await?;
    // Who names one in another spelling than the database's own names it all the same.
    let named =
        |row: &tokio_postgres::Row| Ok(row.try_get::<_, Option<&str>>(0)?.and_then(|text| text.parse().ok()));
    let named: Vec<Option<Uuid>> = rows.iter().map(named).collect::<Result<_, Error>>()?;
    Ok(named.into_iter().flatten().map(RestorePointId).collect())
}

/// Notes that restore points are gone from their repositories. Each lets go of its manifest: see [`super::manifest::hold`].
pub async fn forget(transaction: &Transaction<'_>, points: &[RestorePointId]) -> Result<(), Error> {
    let statement = statement!(
        "restore_point.forget",
        "update restore_point set forgotten_at = now(), manifest_id = null
         where id = any($1) and forgotten_at is null"
    );
    let points: Vec<Uuid> = points.iter().map(|point| point.0).collect();
    statement.execute(transaction, &[&points]).await?;
    Ok(())
}

/// The target of a restore point, by name.
pub async fn target_of<C: GenericClient>(
    client: &C,
    id: RestorePointId,
) -> Result<Option<TargetName>, Error> {
    let statement = statement!(
        "restore_point.target_of",
        "select t.name from restore_point r join target t on t.id = r.target_id where r.id = $1"
    );
    statement.query_opt(client, &[&id.0]).await?.map(|row| super::parsed(&row, "name")).transpose()
}
