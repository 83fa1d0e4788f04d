//! Table `known_id`: every id of the idempotency window, so that an id runs once.

use std::collections::HashSet;
use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};

use super::{Error, prepared};
use crate::task::TaskId;

/// Remembers ids and returns those that were not known before.
///
/// Writers insert in the order of the ids, so that two that share some wait for each other instead of deadlocking.
pub async fn insert(transaction: &Transaction<'_>, ids: &[TaskId]) -> Result<HashSet<TaskId>, Error> {
    let statement =
        "insert into known_id (id) select distinct id from unnest($1::uuid[]) as t(id) order by id
         on conflict do nothing returning id";
    let statement = prepared(transaction, statement).await?;
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = transaction.query(&statement, &[&ids]).await?;
    rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
}

/// Forgets up to `limit` ids whose window, in whole days, is over and whose task is neither waiting nor running nor dead;
/// returns how many.
pub async fn forget<C: GenericClient>(client: &C, window: Duration, limit: i64) -> Result<u64, Error> {
    let statement = "delete from known_id where id in (
             select id from known_id k where day < current_date - $1::integer
                 and not exists (select from task t where t.id = k.id)
                 and not exists (select from lease l where l.task_id = k.id)
                 and not exists (select from dead_task d where d.id = k.id)
             limit $2)";
    let statement = prepared(client, statement).await?;
    let days = i32::try_from(window.as_secs().div_ceil(86_400)).unwrap_or(i32::MAX);
    Ok(client.execute(&statement, &[&days, &limit]).await?)
}
