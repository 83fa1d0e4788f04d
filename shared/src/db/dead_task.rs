//! Table `dead_task`: what will not be tried again by itself.

use std::collections::HashSet;

use deadpool_postgres::{GenericClient, Transaction};

use super::lease::{Columns, Leased};
use super::{Error, prepared};
use crate::name::text_enum;
use crate::task::TaskId;

text_enum! {
    /// Why a task died.
    Reason {
        /// Its last attempt failed.
        Failed = "failed",
        /// Its job took no tasks any more when its time came.
        Refused = "refused",
        /// Too many workers vanished while they had it.
        Lost = "lost",
    }
}

/// A task that died.
#[derive(Debug)]
pub struct Dead<'a> {
    /// The task with its last attempt.
    pub leased: &'a Leased,
    /// Why.
    pub reason: Reason,
    /// What the last attempt said.
    pub last_error: String,
}

/// Buries tasks.
pub async fn insert(transaction: &Transaction<'_>, dead: &[Dead<'_>]) -> Result<(), Error> {
    let statement =
        "insert into dead_task (id, kind, priority, job_id, params, requested_by, enqueued_at, attempts, \
             rescues, reason, last_error)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::jsonb[], $6::text[], \
             $7::timestamptz[], $8::integer[], $9::integer[], $10::text[], $11::text[])";
    let statement = prepared(transaction, statement).await?;
    let columns = Columns::of(dead.iter().map(|dead| &dead.leased.task));
    let attempts: Vec<_> = dead.iter().map(|dead| dead.leased.attempt).collect();
    let rescues: Vec<_> = dead.iter().map(|dead| dead.leased.rescues).collect();
    let reasons: Vec<_> = dead.iter().map(|dead| dead.reason.as_str()).collect();
    let last_errors: Vec<_> = dead.iter().map(|dead| dead.last_error.as_str()).collect();
    transaction
        .execute(
            &statement,
            &[
                &columns.id,
                &columns.kind,
                &columns.priority,
                &columns.job_id,
                &columns.params,
                &columns.requested_by,
                &columns.enqueued_at,
                &attempts,
                &rescues,
                &reasons,
                &last_errors,
            ],
        )
        .await?;
    Ok(())
}

/// Buries those of some refused tasks that wait in the database, with the reason of the refusal; returns them.
pub async fn bury_waiting(
    transaction: &Transaction<'_>,
    refused: &[(TaskId, String)],
) -> Result<HashSet<TaskId>, Error> {
    let statement = "with gone as (
             delete from task where id = any($1)
             returning id, kind, priority, job_id, params, requested_by, enqueued_at, attempt, rescues)
         insert into dead_task (id, kind, priority, job_id, params, requested_by, enqueued_at, attempts, rescues, \
             reason, last_error)
         select g.id, kind, priority, job_id, params, requested_by, enqueued_at, attempt, rescues, 'refused', \
             r.why
         from gone g join (select distinct on (id) * from unnest($1::uuid[], $2::text[]) as u(id, why)) r
             on r.id = g.id
         returning id";
    let statement = prepared(transaction, statement).await?;
    let ids: Vec<uuid::Uuid> = refused.iter().map(|(id, _)| id.0).collect();
    let why: Vec<&str> = refused.iter().map(|(_, why)| why.as_str()).collect();
    let rows = transaction.query(&statement, &[&ids, &why]).await?;
    rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
}

/// How many dead tasks there are.
pub async fn count<C: GenericClient>(client: &C) -> Result<i64, Error> {
    let statement = prepared(client, "select count(*) from dead_task").await?;
    Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
}
