//! Pools: their slots, and whether they start anything.

use deadpool_postgres::Transaction;
use serde_json::{Value, json};
use shared::db;
use shared::db::pool_setting::{self, Change, PoolState};
use shared::task::TaskKind;

use super::{Actor, Entry, Refused, record};

/// The most slots that a pool can be told to have.
pub(crate) const MOST_SLOTS: i32 = 30_000;

/// Pools of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which<'a> {
    /// Their kind.
    pub(crate) kind: TaskKind,
    /// Only that of one worker.
    pub(crate) worker: Option<&'a str>,
}

impl Which<'_> {
    /// Refuses a worker that is not there.
    pub(crate) async fn check(&self, transaction: &Transaction<'_>) -> Result<(), Refused> {
        let Some(name) = self.worker else { return Ok(()) };
        let workers = db::worker::present(transaction).await?;
        let with_pool = workers.into_iter().filter(|worker| worker.pools.contains_key(&self.kind));
        let names: Vec<String> = with_pool.map(|worker| worker.name).collect();
        if names.iter().any(|other| other == name) {
            return Ok(());
        }
        let there = if names.is_empty() {
            "none is there".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        Err(Refused::Missing(format!("no worker named {name:?} has a pool {}; {there}", self.kind)))
    }

    fn subject(&self) -> String {
        self.worker.map_or_else(|| self.kind.to_string(), |worker| format!("{} of {worker}", self.kind))
    }
}

/// Tells pools something; workers follow within two seconds.
pub(crate) async fn change(
    transaction: &Transaction<'_>,
    which: Which<'_>,
    change: Change,
    actor: &Actor,
) -> Result<(), Refused> {
    if let Some(Some(slots)) = change.slots
        && !(1..=MOST_SLOTS).contains(&slots)
    {
        return Err(Refused::invalid("slots", format!("use 1 to {MOST_SLOTS}; a paused pool runs none")));
    }
    // One after the other, and before the locks that changes of settings take.
    db::job::lock_definitions(transaction).await?;
    which.check(transaction).await?;
    let before = said(transaction, which).await?;
    pool_setting::change(transaction, which.kind, which.worker, change, &actor.name).await?;
    let after = said(transaction, which).await?;
    let entry = Entry { action: "change", subject: "pool", name: &which.subject(), before, after };
    Ok(record(transaction, actor, &[entry]).await?)
}

/// What pools were told so far.
async fn said(transaction: &Transaction<'_>, which: Which<'_>) -> Result<Option<Value>, db::Error> {
    let settings = pool_setting::all(transaction).await?;
    let said =
        settings.into_iter().find(|said| said.kind == which.kind && said.worker.as_deref() == which.worker);
    Ok(said.map(|said| json!({ "slots": said.slots, "state": said.state })))
}

/// Has pools go on; of all workers, those that were told something themselves go on as well.
pub(crate) async fn resume(
    transaction: &Transaction<'_>,
    which: Which<'_>,
    actor: &Actor,
) -> Result<(), Refused> {
    db::job::lock_definitions(transaction).await?;
    which.check(transaction).await?;
    let settings = pool_setting::all(transaction).await?;
    let told: Vec<Option<&str>> = match which.worker {
        Some(worker) => vec![Some(worker)],
        None => settings
            .iter()
            .filter(|said| said.kind == which.kind)
            .map(|said| said.worker.as_deref())
            .collect(),
    };
    let mut changed = Vec::new();
    for worker in told {
        // A worker goes on although all were told to pause.
        let state = worker.filter(|_| which.worker.is_some()).map(|_| PoolState::Running);
        let change = Change { state: Some(state), ..Change::default() };
        let which = Which { kind: which.kind, worker };
        let before = said(transaction, which).await?;
        pool_setting::change(transaction, which.kind, worker, change, &actor.name).await?;
        changed.push((which.subject(), before, said(transaction, which).await?));
    }
    let entries = changed.iter().map(|(name, before, after)| Entry {
        action: "resume",
        subject: "pool",
        name,
        before: before.clone(),
        after: after.clone(),
    });
    Ok(record(transaction, actor, &entries.collect::<Vec<_>>()).await?)
}
