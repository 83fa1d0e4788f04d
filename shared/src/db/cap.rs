//! Table `cap`: how many tasks may run under a key, and how many do.
//!
//! Whoever begins or ends leases counts here in the same transaction, and locks the keys in their order.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::{GenericClient, Transaction};

use super::statement::statement;
use super::{Error, parsed};
use crate::limit::Key;

/// A key whose concurrency is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    /// Which key.
    pub key: Key,
    /// How many may run.
    pub most: i32,
    /// How many do: more than `most` for a while after that was lowered.
    pub running: i32,
}

impl Cap {
    /// How many more may run.
    #[must_use]
    pub fn room(&self) -> usize {
        usize::try_from(self.most - self.running).unwrap_or(0)
    }
}

/// Numbers of tasks by the text of their key.
pub type Counts = BTreeMap<String, i32>;

/// Counts tasks by the keys that each of them is counted under.
pub(super) fn counts<'a>(keys: impl Iterator<Item = &'a String>) -> Counts {
    let mut counts = Counts::new();
    for key in keys {
        *counts.entry(key.clone()).or_default() += 1;
    }
    counts
}

/// Reads caps, and keeps others from counting under them until the transaction ends. Keys without a cap are absent.
pub async fn lock(transaction: &Transaction<'_>, keys: &[&str]) -> Result<Vec<Cap>, Error> {
    let statement = statement!(
        "cap.lock",
        "select key, most, running from cap where key = any($1) order by key for update"
    );
    statement.query(transaction, &[&keys]).await?.iter().map(cap).collect()
}

/// How many more may run under some keys, as it looks without a lock. Keys without a cap are absent.
pub async fn rooms<C: GenericClient>(client: &C, keys: &[String]) -> Result<HashMap<Key, usize>, Error> {
    let statement = statement!("cap.rooms", "select key, most, running from cap where key = any($1)");
    let rows = statement.query(client, &[&keys]).await?;
    rows.iter().map(|row| cap(row).map(|cap| (cap.key.clone(), cap.room()))).collect()
}

/// Reads all caps, by key.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<Cap>, Error> {
    let statement = statement!("cap.all", "select key, most, running from cap order by key");
    statement.query(client, &[]).await?.iter().map(cap).collect()
}

fn cap(row: &tokio_postgres::Row) -> Result<Cap, Error> {
    Ok(Cap { key: parsed(row, "key")?, most: row.try_get("most")?, running: row.try_get("running")? })
}

/// Counts tasks that begin, under caps that this transaction has locked.
pub async fn begin(transaction: &Transaction<'_>, begun: &Counts) -> Result<(), Error> {
    count(transaction, begun, 1).await
}

/// Counts tasks that have ended.
pub async fn end(transaction: &Transaction<'_>, ended: &Counts) -> Result<(), Error> {
    count(transaction, ended, -1).await
}

async fn count(transaction: &Transaction<'_>, counts: &Counts, sign: i32) -> Result<(), Error> {
    if counts.is_empty() {
        return Ok(());
    }
    let statement = statement!(
        "cap.count",
        "with counted as (
             select c.key, n.tasks from cap c join unnest($1::text[], $2::integer[]) as n(key, tasks) on n.key = c.key
             order by c.key for update of c)
         update cap set running = running + counted.tasks from counted where cap.key = counted.key"
    );
    let keys: Vec<&str> = counts.keys().map(String::as_str).collect();
    let tasks: Vec<i32> = counts.values().map(|tasks| sign * tasks).collect();
    statement.execute(transaction, &[&keys, &tasks]).await?;
    Ok(())
}

/// Locks caps that are about to be changed, in their order.
pub(super) async fn lock_all(transaction: &Transaction<'_>, keys: &[&String]) -> Result<(), Error> {
    statement!("cap.lock_all", "select from cap where key = any($1) order by key for update")
        .execute(transaction, &[&keys])
        .await?;
    Ok(())
}

/// Takes caps away.
pub(super) async fn remove(transaction: &Transaction<'_>, keys: &[String]) -> Result<(), Error> {
    statement!("cap.remove", "delete from cap where key = any($1)").execute(transaction, &[&keys]).await?;
    Ok(())
}

/// Has what runs already under keys that had no cap count from now on; no claim may be under way.
pub(super) async fn adopt(transaction: &Transaction<'_>, caps: &BTreeMap<String, u32>) -> Result<(), Error> {
    let keys: Vec<&str> = caps.keys().map(String::as_str).collect();
    let statement = statement!(
        "cap.unknown",
        "select key from unnest($1::text[]) as k(key) where not exists (select from cap where cap.key = k.key)"
    );
    let rows = statement.query(transaction, &[&keys]).await?;
    let new: Vec<&str> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if new.is_empty() {
        return Ok(());
    }
    // The keys of a task, as the claim knows them. All that will count are locked: whoever ends one meanwhile comes before the
    // count or sees the new cap.
    let statement = statement!(
        "cap.adopt",
        "with held as (
             select l.task_id, array(select k.key from unnest(array[
                     'pool:' || l.kind,
                     'owner:' || (j.definition ->> 'owner'),
                     'source:' || (j.definition -> 'source' -> 'place' ->> 'failure_domain'),
                     'target:' || coalesce(case when l.kind <> 'backup' then l.params ->> 'target' end,
                         j.definition -> 'targets' ->> 0)]) as k(key)
                 where k.key = any($1)) as keys
             from lease l left join job j on j.id = l.job_id),
         mine as (
             select l.task_id, held.keys from lease l join held on held.task_id = l.task_id
             where held.keys <> '{}' or l.caps && $1 order by l.task_id for update of l)
         update lease l
             set caps = array(select unnest(coalesce(l.caps, '{}')) union select unnest(mine.keys) order by 1)
         from mine where mine.task_id = l.task_id"
    );
    statement.execute(transaction, &[&new]).await?;
    Ok(())
}

/// Sets caps, and counts what runs under those that are new.
pub(super) async fn set(transaction: &Transaction<'_>, caps: &BTreeMap<String, u32>) -> Result<(), Error> {
    let keys: Vec<&str> = caps.keys().map(String::as_str).collect();
    let most: Vec<i32> = caps.values().map(|most| i32::try_from(*most).unwrap_or(i32::MAX)).collect();
    let statement = statement!(
        "cap.set",
        "with under as (select key, count(*) as tasks from lease, unnest(caps) as c(key) group by key)
         insert into cap (key, most, running)
         select k.key, k.most, coalesce(under.tasks, 0)
         from unnest($1::text[], $2::integer[]) as k(key, most) left join under on under.key = k.key
         order by k.key
         on conflict (key) do update set most = excluded.most"
    );
    statement.execute(transaction, &[&keys, &most]).await?;
    Ok(())
}
