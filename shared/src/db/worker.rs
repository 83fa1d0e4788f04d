//! Table `worker`: the processes that are running, as they say themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use super::statement::statement;
use super::{Error, from_json};
use crate::task::{TaskKind, WorkerId};

/// A worker that was not heard of for this long is not counted any more, in seconds.
const SILENT_SECONDS: f64 = 60.0;

/// The use of one pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolUse {
    /// How many tasks it can run at once.
    pub slots: usize,
    /// How many run.
    pub busy: usize,
    /// It gives out no slot, because people have paused or drained it.
    #[serde(default)]
    pub closed: bool,
    /// Messages from its queues, and the tasks in them, since the process began.
    #[serde(default)]
    pub received: Received,
}

/// Messages, and the tasks in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Messages.
    pub messages: u64,
    /// Tasks, bad ones as well.
    pub tasks: u64,
}

/// Batches since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCount {
    /// Transactions.
    pub batches: u64,
    /// Tasks in them.
    pub tasks: u64,
}

/// What a worker says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its process.
    pub id: WorkerId,
    /// What people call it.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// Its pools by kind.
    pub pools: BTreeMap<TaskKind, PoolUse>,
    /// Its batches by stage: `claim`, `record`.
    pub batches: BTreeMap<String, BatchCount>,
    /// What else it counted since its start, by name: `discarded`, `fenced`, `pool_exhausted` ..
    pub counters: BTreeMap<String, u64>,
}

/// Says that a worker is there, and how busy.
pub async fn report<C: GenericClient>(client: &C, worker: &Worker) -> Result<(), Error> {
    let statement = statement!(
        "worker.report",
        "insert into worker (id, name, version, pools, batches, counters)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (id) do update set pools = excluded.pools, batches = excluded.batches, \
             counters = excluded.counters, seen_at = now()"
    );
    let (pools, batches) = (Json(&worker.pools), Json(&worker.batches));
    let counters = Json(&worker.counters);
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&worker.id.0, &worker.name, &worker.version, &pools, &batches, &counters];
    statement.execute(client, &parameters).await?;
    Ok(())
}

/// A worker as others see it who share rates with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its process.
    pub id: WorkerId,
    /// Its pools by kind.
    pub pools: BTreeMap<TaskKind, PoolUse>,
    /// The parts of limited rates that it has taken.
    pub shares: Shares,
}

/// Parts of limited rates, each 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shares {
    /// Of the rates of pools.
    pub pools: BTreeMap<TaskKind, f64>,
    /// Of what tasks of several kinds have in common.
    pub all: f64,
}

/// The lock that is held by whoever takes more of a rate. The number is arbitrary.
const TAKING: i64 = 0x686f_6c64_7368_6172;

/// The workers that were heard of within a lease.
pub async fn members<C: GenericClient>(client: &C, lease: Duration) -> Result<Vec<Member>, Error> {
    let statement = statement!(
        "worker.members",
        "select id, pools, shares from worker where seen_at > now() - make_interval(secs => $1)"
    );
    let rows = statement.query(client, &[&lease.as_secs_f64()]).await?;
    rows.iter()
        .map(|row| {
            let id = WorkerId(row.try_get("id")?);
            Ok(Member { id, pools: pools(row)?, shares: from_json(row, "shares")? })
        })
        .collect()
}

/// Says which parts of rates a worker has taken: fewer than before, or under the lock of [`lock_shares`].
pub async fn set_shares<C: GenericClient>(
    client: &C,
    worker: WorkerId,
    shares: &Shares,
) -> Result<(), Error> {
    let statement = statement!("worker.set_shares", "update worker set shares = $2 where id = $1");
    statement.execute(client, &[&worker.0, &Json(shares)]).await?;
    Ok(())
}

/// Keeps others from taking parts of rates until the transaction ends.
pub async fn lock_shares(transaction: &Transaction<'_>) -> Result<(), Error> {
    let statement = statement!("worker.lock_shares", "select pg_advisory_xact_lock($1)");
    statement.execute(transaction, &[&TAKING]).await?;
    Ok(())
}

/// Takes a worker out that ends as it should, and with it those in whose place it had started: they are missed no more. Others of its name
/// that were heard of within `lately` stay.
pub async fn leave<C: GenericClient>(client: &C, worker: WorkerId, lately: Duration) -> Result<(), Error> {
    let statement = statement!(
        "worker.leave",
        "delete from worker w using worker own
         where own.id = $1 and (w.id = own.id or w.name = own.name and w.seen_at < own.started_at
             and w.seen_at < now() - make_interval(secs => $2))"
    );
    statement.execute(client, &[&worker.0, &lately.as_secs_f64()]).await?;
    Ok(())
}

/// The workers that were heard of lately, by name.
pub async fn present<C: GenericClient>(client: &C) -> Result<Vec<Worker>, Error> {
    let statement = statement!(
        "worker.present",
        "select id, name, version, pools, batches, counters from worker
         where seen_at > now() - make_interval(secs => $1) order by name, id"
    );
    let rows = statement.query(client, &[&SILENT_SECONDS]).await?;
    rows.iter()
        .map(|row| {
            Ok(Worker {
                id: WorkerId(row.try_get("id")?),
                name: row.try_get("name")?,
                version: row.try_get("version")?,
                pools: pools(row)?,
                batches: from_json(row, "batches")?,
                counters: from_json(row, "counters")?,
            })
        })
        .collect()
}

/// The pools of the kinds that this version knows.
fn pools(row: &Row) -> Result<BTreeMap<TaskKind, PoolUse>, Error> {
    let pools: BTreeMap<String, PoolUse> = from_json(row, "pools")?;
    Ok(pools.into_iter().filter_map(|(kind, pool)| Some((kind.parse().ok()?, pool))).collect())
}

/// A worker that is gone without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its process.
    pub id: WorkerId,
    /// What people call it.
    pub name: String,
    /// When it was heard of for the last time.
    pub seen_at: DateTime<Utc>,
}

/// The workers that were silent for longer than `after`, but for those in whose place another one of their name has started.
pub async fn lost<C: GenericClient>(client: &C, after: Duration) -> Result<Vec<Lost>, Error> {
    let statement = statement!(
        "worker.lost",
        "select id, name, seen_at from worker w where seen_at < now() - make_interval(secs => $1)
         and not exists (select from worker n where n.name = w.name and n.started_at > w.seen_at)
         order by name, id"
    );
    let rows = statement.query(client, &[&after.as_secs_f64()]).await?;
    rows.iter()
        .map(|row| {
            Ok(Lost {
                id: WorkerId(row.try_get("id")?),
                name: row.try_get("name")?,
                seen_at: row.try_get("seen_at")?,
            })
        })
        .collect()
}

/// Removes workers that were silent for a day; returns how many.
pub async fn sweep<C: GenericClient>(client: &C) -> Result<u64, Error> {
    let statement = statement!("worker.sweep", "delete from worker where seen_at < now() - interval '1 day'");
    Ok(statement.execute(client, &[]).await?)
}
