//! Table `target`.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;

use super::statement::statement;
use super::{Error, from_json, parsed};
use crate::target::{Target, TargetId, TargetName, TargetState};

/// A target as stored.
#[derive(Debug, Clone)]
pub struct StoredTarget {
    /// Its number.
    pub id: TargetId,
    /// Its definition.
    pub target: Target,
    /// Whether it may be used now.
    pub state: TargetState,
    /// Whether it was taken away: no job has it as a target, but what is on it can still be restored.
    pub removed: bool,
    /// The id inside its repository, once that was created.
    pub repository_id: Option<String>,
    /// How often it was changed, from 1.
    pub version: i32,
    /// When its definition or its state was changed last.
    pub changed_at: DateTime<Utc>,
}

const COLUMNS: &str =
    "select id, definition, state, removed_at is not null as removed, repository_id, version, updated_at
     from target";

/// Writes definitions, each once: new rows, or the next versions of rows that differ; one that was taken away comes back.
/// Returns the targets' numbers.
///
/// A target that moved to another place keeps the id of its repository, so that an empty place is noticed.
pub async fn upsert(
    transaction: &Transaction<'_>,
    targets: &[&Target],
) -> Result<HashMap<TargetName, TargetId>, Error> {
    let statement = statement!(
        "target.upsert",
        "insert into target (name, definition) select * from unnest($1::text[], $2::jsonb[])
         on conflict (name) do update set definition = excluded.definition, removed_at = null,
             version = target.version + 1, updated_at = now()
         returning id, name"
    );
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    let definitions: Vec<_> = targets.iter().map(Json).collect();
    let rows = statement.query(transaction, &[&names, &definitions]).await?;
    rows.iter().map(|row| Ok((parsed(row, "name")?, TargetId(row.try_get("id")?)))).collect()
}

/// Takes targets away that no job has any more. What is on them stays.
pub async fn remove(transaction: &Transaction<'_>, ids: &[TargetId]) -> Result<(), Error> {
    let statement = statement!(
        "target.remove",
        "update target set removed_at = now(), version = version + 1, updated_at = now() where id = any($1)"
    );
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    statement.execute(transaction, &[&ids]).await?;
    Ok(())
}

/// Reads all targets, by name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<StoredTarget>, Error> {
    let statement = statement!("target.all", format!("{COLUMNS} where removed_at is null order by name"));
    statement.query(client, &[]).await?.iter().map(stored).collect()
}

/// The names of all targets; no more of them is read.
pub async fn names<C: GenericClient>(client: &C) -> Result<HashMap<TargetId, TargetName>, Error> {
    let statement = statement!("target.names", "select id, name from target where removed_at is null");
    let rows = statement.query(client, &[]).await?;
    rows.iter().map(|row| Ok((TargetId(row.try_get("id")?), parsed(row, "name")?))).collect()
}

/// Reads one target by name, also one that was taken away.
pub async fn by_name<C: GenericClient>(client: &C, name: &TargetName) -> Result<Option<StoredTarget>, Error> {
    let statement = statement!("target.by_name", format!("{COLUMNS} where name = $1"));
    statement.query_opt(client, &[&name.as_str()]).await?.as_ref().map(stored).transpose()
}

/// As [`by_name`], and keeps others from changing it, its locks or any definition until the transaction ends.
pub async fn lock_by_name(
    transaction: &Transaction<'_>,
    name: &TargetName,
) -> Result<Option<StoredTarget>, Error> {
    // A change of its state counts as one of definitions: whoever makes one begins with this lock.
    super::job::lock_definitions(transaction).await?;
    let statement = statement!("target.lock_by_name", format!("{COLUMNS} where name = $1 for no key update"));
    statement.query_opt(transaction, &[&name.as_str()]).await?.as_ref().map(stored).transpose()
}

fn stored(row: &tokio_postgres::Row) -> Result<StoredTarget, Error> {
    Ok(StoredTarget {
        id: TargetId(row.try_get("id")?),
        target: from_json(row, "definition")?,
        state: parsed(row, "state")?,
        removed: row.try_get("removed")?,
        repository_id: row.try_get("repository_id")?,
        version: row.try_get("version")?,
        changed_at: row.try_get("updated_at")?,
    })
}

/// When targets were changed last; they stay as they are until the transaction ends.
pub async fn changed_at(
    transaction: &Transaction<'_>,
    ids: &[TargetId],
) -> Result<HashMap<TargetId, DateTime<Utc>>, Error> {
    let statement = statement!(
        "target.changed_at",
        "select id, updated_at from target where id = any($1) order by id for share"
    );
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let rows = statement.query(transaction, &[&ids]).await?;
    rows.iter().map(|row| Ok((TargetId(row.try_get(0)?), row.try_get(1)?))).collect()
}

/// Changes whether a target may be used.
pub async fn set_state<C: GenericClient>(client: &C, id: TargetId, state: TargetState) -> Result<(), Error> {
    let statement = statement!(
        "target.set_state",
        "update target set state = $2, updated_at = clock_timestamp() where id = $1"
    );
    statement.execute(client, &[&id.0, &state.as_str()]).await?;
    Ok(())
}

/// Remembers the id of the repository that was created; the first one stays.
pub async fn set_repository_id<C: GenericClient>(
    client: &C,
    id: TargetId,
    repository: &str,
) -> Result<(), Error> {
    let statement = statement!(
        "target.set_repository_id",
        "update target set repository_id = $2 where id = $1 and repository_id is null"
    );
    statement.execute(client, &[&id.0, &repository]).await?;
    Ok(())
}

/// Whether a target's repository was not pruned within some time.
pub async fn is_prune_due<C: GenericClient>(
    client: &C,
    id: TargetId,
    every: Duration,
) -> Result<bool, Error> {
    let statement = statement!(
        "target.is_prune_due",
        "select coalesce(pruned_at + make_interval(secs => $2) <= now(), true) from target where id = $1"
    );
    Ok(statement.query_one(client, &[&id.0, &every.as_secs_f64()]).await?.try_get(0)?)
}

/// Notes that a target's repository was pruned.
pub async fn set_pruned<C: GenericClient>(client: &C, id: TargetId) -> Result<(), Error> {
    let statement = statement!("target.set_pruned", "update target set pruned_at = now() where id = $1");
    statement.execute(client, &[&id.0]).await?;
    Ok(())
}
