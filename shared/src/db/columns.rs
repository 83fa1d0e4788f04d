//! The columns that describe a task, in every table that holds tasks.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Error, parsed};
use crate::job::JobId;
use crate::params::Params;
use crate::task::{Task, TaskId};
use crate::trace::TraceContext;

/// Reads them from a row; `id` is the name of the column that has the task's id.
pub(super) fn task_of(row: &Row, id: &str) -> Result<Task, Error> {
    Ok(Task {
        id: TaskId(row.try_get(id)?),
        kind: parsed(row, "kind")?,
        priority: parsed(row, "priority")?,
        job: row.try_get::<_, Option<i32>>("job_id")?.map(JobId),
        params: row.try_get("params")?,
        requested_by: row.try_get("requested_by")?,
        enqueued_at: row.try_get("enqueued_at")?,
        trace: trace_of(row)?,
    })
}

/// Reads the trace of a row.
pub(super) fn trace_of(row: &Row) -> Result<Option<TraceContext>, Error> {
    Ok(TraceContext::read(row.try_get("traceparent")?, row.try_get("tracestate")?))
}

/// The columns' names, after that of the task's id.
pub(super) const NAMES: &str =
    "kind, priority, job_id, params, requested_by, enqueued_at, traceparent, tracestate";

/// The values of the id and [`NAMES`] of some tasks, as [`ARRAYS`] takes them.
pub(super) struct Columns<'a> {
    id: Vec<Uuid>,
    kind: Vec<&'static str>,
    priority: Vec<&'static str>,
    job_id: Vec<Option<i32>>,
    params: Vec<&'a Params>,
    requested_by: Vec<&'a str>,
    enqueued_at: Vec<DateTime<Utc>>,
    traceparent: Vec<Option<&'a str>>,
    tracestate: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(tasks: impl Iterator<Item = &'a Task> + Clone) -> Self {
        Self {
            id: tasks.clone().map(|task| task.id.0).collect(),
            kind: tasks.clone().map(|task| task.kind.as_str()).collect(),
            priority: tasks.clone().map(|task| task.priority.as_str()).collect(),
            job_id: tasks.clone().map(|task| task.job.map(|job| job.0)).collect(),
            params: tasks.clone().map(|task| &task.params).collect(),
            requested_by: tasks.clone().map(|task| task.requested_by.as_str()).collect(),
            enqueued_at: tasks.clone().map(|task| task.enqueued_at).collect(),
            traceparent: tasks.clone().map(|task| task.trace.as_ref().map(TraceContext::parent)).collect(),
            tracestate: tasks.map(|task| task.trace.as_ref()?.state()).collect(),
        }
    }

    /// The parameters of a statement with [`ARRAYS`]; those after them follow from $10 on.
    pub(super) fn and<'p>(&'p self, others: &[&'p (dyn ToSql + Sync)]) -> Vec<&'p (dyn ToSql + Sync)> {
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![
            &self.id,
            &self.kind,
            &self.priority,
            &self.job_id,
            &self.params,
            &self.requested_by,
            &self.enqueued_at,
            &self.traceparent,
            &self.tracestate,
        ];
        all.extend(others);
        all
    }
}

/// What `unnest` takes of [`Columns`].
pub(super) const ARRAYS: &str = "$1::uuid[], $2::text[], $3::text[], $4::integer[], $5::json[], $6::text[], \
     $7::timestamptz[], $8::text[], $9::text[]";
