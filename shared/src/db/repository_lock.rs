//! Table `repository_lock`: who uses a repository now. The engine itself takes no locks.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};

use super::Error;
use super::statement::statement;
use super::target::StoredTarget;
use crate::target::{TargetId, TargetName, TargetState};
use crate::task::{Epoch, TaskId};

/// An expired holder may need this long to notice: only then is its lock void.
const MARGIN_SECONDS: f64 = 10.0;

/// Why a repository cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No target has that name.
    Unknown,
    /// It is detached, or about to be.
    Away,
    /// Somebody else holds it in a way that excludes this use.
    Busy,
    /// The holder's lease is over: somebody else owns its task, or soon will.
    Fenced,
}

/// Who asks for a lock.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// The task.
    pub task: TaskId,
    /// Its owner's epoch; 0 for a command, which has no lease.
    pub epoch: Epoch,
    /// How long it holds without a heartbeat.
    pub lease: Duration,
}

/// Takes the lock of a target for a task, shared by its users or exclusive for one. The heartbeat of the task's
/// lease extends it, its end releases it.
pub async fn acquire(
    transaction: &Transaction<'_>,
    target: &TargetName,
    holder: Holder,
    exclusive: bool,
) -> Result<Result<StoredTarget, Refused>, Error> {
    // The target's row is what serialises those who ask.
    let Some(stored) = super::target::lock_by_name(transaction, target).await? else {
        return Ok(Err(Refused::Unknown));
    };
    if stored.state != TargetState::Attached {
        return Ok(Err(Refused::Away));
    }
    if holder.epoch.0 > 0 && !has_lease(transaction, holder).await? {
        return Ok(Err(Refused::Fenced));
    }
    let statement = statement!(
        "repository_lock.room",
        "select count(*) from repository_lock
         where target_id = $1 and task_id <> $2 and (exclusive or $3)
             and expires_at + make_interval(secs => $4) > now()"
    );
    let row = statement
        .query_one(transaction, &[&stored.id.0, &holder.task.0, &exclusive, &MARGIN_SECONDS])
        .await?;
    if row.try_get::<_, i64>(0)? > 0 {
        return Ok(Err(Refused::Busy));
    }
    let statement = statement!(
        "repository_lock.acquire",
        "insert into repository_lock (target_id, task_id, epoch, exclusive, expires_at)
         values ($1, $2, $3, $4, now() + make_interval(secs => $5))
         on conflict (target_id, task_id) do update
             set epoch = excluded.epoch, exclusive = excluded.exclusive, expires_at = excluded.expires_at"
    );
    let lease = holder.lease.as_secs_f64();
    statement
        .execute(transaction, &[&stored.id.0, &holder.task.0, &holder.epoch.0, &exclusive, &lease])
        .await?;
    Ok(Ok(stored))
}

async fn has_lease(transaction: &Transaction<'_>, holder: Holder) -> Result<bool, Error> {
    let statement = statement!(
        "repository_lock.has_lease",
        "select count(*) from lease where task_id = $1 and epoch = $2 and lease_until > now()"
    );
    let row = statement.query_one(transaction, &[&holder.task.0, &holder.epoch.0]).await?;
    Ok(row.try_get::<_, i64>(0)? == 1)
}

/// Gives the locks of a holder back that has no lease to end.
pub async fn release<C: GenericClient>(client: &C, task: TaskId) -> Result<(), Error> {
    let statement = statement!("repository_lock.release", "delete from repository_lock where task_id = $1");
    statement.execute(client, &[&task.0]).await?;
    Ok(())
}

/// How many use a target's repository now, expired holders included until they must have noticed.
pub async fn holders<C: GenericClient>(client: &C, target: TargetId) -> Result<i64, Error> {
    let statement = statement!(
        "repository_lock.holders",
        "select count(*) from repository_lock
         where target_id = $1 and expires_at + make_interval(secs => $2) > now()"
    );
    Ok(statement.query_one(client, &[&target.0, &MARGIN_SECONDS]).await?.try_get(0)?)
}

/// Removes locks whose holders expired long ago; returns how many.
pub async fn sweep<C: GenericClient>(client: &C) -> Result<u64, Error> {
    let statement = statement!(
        "repository_lock.sweep",
        "delete from repository_lock where expires_at + make_interval(secs => $1) < now()"
    );
    Ok(statement.execute(client, &[&MARGIN_SECONDS]).await?)
}
