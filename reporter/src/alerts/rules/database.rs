//! What slows the database down, or shows that nobody looks after it.

use deadpool_postgres::GenericClient;
use shared::alert::Rule;
use shared::db::{Error, partition, session};

use super::super::finding::Finding;
use super::{Context, moment};

/// A transaction that is open for too long: what is dead since cannot go, and counters wait for it.
pub(super) async fn old_transaction<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let rule = Rule::DatabaseOldTransaction;
    let Some(setting) = context.setting(rule) else { return Ok(Vec::new()) };
    let oldest = session::oldest_transaction(client, setting.after).await?;
    let finding = |oldest: session::OldTransaction| {
        let session::OldTransaction { pid, program, role, state, began_at } = oldest;
        let summary = format!(
            "a transaction of {role:?} is open since {}: {program:?}, {state}, process {pid}",
            moment(began_at)
        );
        Finding::of(rule, &setting, None, &summary)
    };
    Ok(oldest.map(finding).into_iter().collect())
}

/// Sessions that wait for the locks of others for too long.
pub(super) async fn blocked<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let Some(setting) = context.setting(Rule::DatabaseBlocked) else { return Ok(Vec::new()) };
    let blocked = session::blocked(client, setting.after).await?;
    let finding = |blocked: session::Blocked| {
        let blockers: Vec<String> = blocked.blockers.iter().map(ToString::to_string).collect();
        let summary = format!(
            "{} sessions wait for locks, the first since {}, of the processes {}",
            blocked.sessions,
            moment(blocked.since),
            blockers.join(", ")
        );
        Finding::of(Rule::DatabaseBlocked, &setting, None, &summary)
    };
    Ok(blocked.map(finding).into_iter().collect())
}

/// Rows that found no month: a producer that runs creates the months ahead, and mends this within the hour.
pub(super) async fn default_partition<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let Some(setting) = context.setting(Rule::DefaultPartition) else { return Ok(Vec::new()) };
    let rows = partition::rows_in_default(client).await?;
    if rows == 0 {
        return Ok(Vec::new());
    }
    let summary = format!("{rows} rows of the history found no partition of their month");
    Ok(vec![Finding::of(Rule::DefaultPartition, &setting, None, &summary)])
}
