//! What does not start now: it waits in a line for a limit, or in the database for its time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use shared::db;
use shared::db::line::{self, Place, Waiter};
use shared::limit::Key;
use shared::task::{Priority, Task, TaskId, TaskKind};

use super::transaction::Accepted;
use crate::admit::Wish;
use crate::limits::Book;

/// Tasks that begin to wait for a limit, or for another one than before.
#[derive(Default)]
pub(super) struct Waiting {
    /// Those that were never seen before.
    new: Vec<(Task, Place)>,
    /// Those that are in the table already.
    known: Vec<(TaskId, TaskKind, Priority, Place)>,
    /// For which keys, and whether their caps are full.
    pub(super) entered: BTreeMap<Key, bool>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.known.is_empty()
    }

    pub(super) fn add(&mut self, accepted: &Accepted<'_>, key: &Key, full: bool, book: &Book) {
        let place = Place { key: key.clone(), owner: book.owner(accepted.job).to_owned() };
        let task = accepted.task;
        if accepted.is_new {
            self.new.push((task.to_task(accepted.job), place));
        } else {
            self.known.push((task.id, task.kind, task.priority, place));
        }
        self.entered.insert(key.clone(), full);
    }

    pub(super) fn move_to(&mut self, waiter: &Waiter, key: &Key) {
        let Waiter { task, owner, .. } = waiter;
        let place = Place { key: key.clone(), owner: owner.clone() };
        self.known.push((task.id, task.kind, task.priority, place));
    }

    pub(super) async fn write(&self, transaction: &Transaction<'_>) -> Result<(), db::Error> {
        if !self.new.is_empty() {
            line::enter(transaction, &self.new).await?;
        }
        if !self.known.is_empty() {
            line::change(transaction, &self.known).await?;
        }
        Ok(())
    }
}

/// Leaves tasks to the relay: at once those that this worker hands back, and later those whose time has not come.
pub(super) async fn park(
    transaction: &Transaction<'_>,
    parking: &[Accepted<'_>],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let (mut new, mut known) = (Vec::new(), Vec::new());
    for Accepted { task, wish, job, is_new, .. } in parking {
        if *is_new {
            let run_at = task.not_before.unwrap_or(now).max(now);
            new.push(db::task::Waiting::new(task.to_task(*job), run_at));
        } else if matches!(wish, Wish::HandBack) {
            // Whatever else a later message says, only that no worker has begun with it puts a known task off.
            known.push((task.id, 0.0));
        }
    }
    if !new.is_empty() {
        db::task::insert(transaction, &new).await?;
    }
    if !known.is_empty() {
        db::task::put_off(transaction, &known).await?;
    }
    Ok(())
}
