//! `producer target attach`

use deadpool_postgres::Transaction;
use shared::db::target::StoredTarget;
use shared::db::{self, Database};
use shared::target::{TargetName, TargetState};

use super::known;
use crate::commands::{Exit, Failure, actor, probes};
use crate::operations::targets;

pub(super) async fn run(database: &Database, name: &TargetName) -> Result<Exit, Failure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    // Before the target, as whoever applies definitions locks them.
    db::job::lock_definitions(&transaction).await?;
    let stored = known(db::target::lock_by_name(&transaction, name).await?, name)?;
    let woken = attach(&transaction, &stored).await?;
    // What is listed now proves that it came back whole.
    let probes = probes::enqueue(&transaction, name).await?;
    transaction.commit().await?;
    shared::say!("{name} is attached: woke {woken} waiting tasks, enqueued {} probes", probes.len());
    Ok(Exit::Done)
}

/// Lets work begin again, and wakes what waits for it; returns how many tasks.
pub(super) async fn attach(transaction: &Transaction<'_>, stored: &StoredTarget) -> Result<u64, db::Error> {
    targets::set_state(transaction, stored, TargetState::Attached, &actor()).await?;
    db::task::wake(transaction, &db::task::waiting_for(&stored.target.name)).await
}
