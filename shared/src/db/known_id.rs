//! Table `known_id`: every id of the idempotency window, so that an id runs once.

use std::collections::HashSet;
use std::time::Duration;

use chrono::NaiveDate;
use deadpool_postgres::{GenericClient, Transaction};

use super::statement::statement;
use super::{Error, unsigned};
use crate::task::TaskId;

/// Remembers ids and returns those that were not known before.
///
/// Writers insert in the order of the ids, so that two that share some wait for each other instead of deadlocking.
pub async fn insert(transaction: &Transaction<'_>, ids: &[TaskId]) -> Result<HashSet<TaskId>, Error> {
    let statement = statement!(
        "known_id.insert",
        "insert into known_id (id) select unnest($1::uuid[]) on conflict do nothing returning id"
    );
    let mut ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = statement.query(transaction, &[&ids]).await?;
    rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
}

/// Those of some ids that are known.
pub async fn known<C: GenericClient>(client: &C, ids: &[TaskId]) -> Result<Vec<TaskId>, Error> {
    let statement = statement!("known_id.known", "select id from known_id where id = any($1)");
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(client, &[&ids]).await?;
    rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
}

/// A part of the table: some pages of it, from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// The number of the first page, from 0.
    pub first: i64,
    /// How many.
    pub count: i64,
}

/// How many pages the table has. No index leads to the ids of a day, because each new id would have to pay for it:
/// whoever forgets goes through the table once a day.
pub async fn pages<C: GenericClient>(client: &C) -> Result<i64, Error> {
    let statement = statement!(
        "known_id.pages",
        "select pg_relation_size('known_id') / current_setting('block_size')::bigint"
    );
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// Today, as ids are stored with it.
pub async fn today<C: GenericClient>(client: &C) -> Result<NaiveDate, Error> {
    let statement = statement!("known_id.today", "select current_date");
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// Which are old, after so many days.
const OLD: &str = "day < current_date - $1::integer
         and not exists (select from task t where t.id = k.id)
         and not exists (select from lease l where l.task_id = k.id)
         and not exists (select from dead_task d where d.id = k.id)";

fn days(window: Duration) -> i32 {
    i32::try_from(window.as_secs().div_ceil(86_400)).unwrap_or(i32::MAX)
}

/// How many ids [`forget`] would forget on all pages.
pub async fn count_old<C: GenericClient>(client: &C, window: Duration) -> Result<u64, Error> {
    let statement = statement!("known_id.count_old", format!("select count(*) from known_id k where {OLD}"));
    Ok(unsigned(statement.query_one(client, &[&days(window)]).await?.try_get(0)?))
}

/// Forgets the ids on some pages whose window, in whole days, is over and whose task is neither waiting nor running nor
/// dead; returns how many.
pub async fn forget<C: GenericClient>(client: &C, window: Duration, pages: Pages) -> Result<u64, Error> {
    let statement = statement!(
        "known_id.forget",
        format!("delete from known_id k where ctid >= $2::text::tid and ctid < $3::text::tid and {OLD}")
    );
    let days = days(window);
    let (from, to) = (format!("({},0)", pages.first), format!("({},0)", pages.first + pages.count));
    Ok(statement.execute(client, &[&days, &from, &to]).await?)
}
