//! Which tasks may start as far as caps are concerned.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use shared::db::{self, cap};
use shared::limit::Key;

use crate::limits::Limits;

/// How many more tasks may run under each capped key, while a transaction keeps others from counting.
pub(super) struct Rooms(HashMap<Key, usize>);

impl Rooms {
    /// Locks the caps that some tasks come under.
    pub(super) async fn lock<'a>(
        transaction: &Transaction<'_>,
        tasks: impl Iterator<Item = &'a Limits>,
    ) -> Result<Self, db::Error> {
        let keys: BTreeSet<&str> = tasks.flat_map(capped).map(|(_, name)| name).collect();
        let keys: Vec<&str> = keys.into_iter().collect();
        let caps = if keys.is_empty() { Vec::new() } else { cap::lock(transaction, &keys).await? };
        Ok(Self(caps.into_iter().map(|cap| (cap.key.clone(), cap.room())).collect()))
    }

    /// Takes a place under each cap that a task comes under, and returns the names of these caps.
    ///
    /// # Errors
    /// The first key that is full; then no place is taken.
    pub(super) fn enter(&mut self, limits: &Limits) -> Result<Vec<String>, Key> {
        // A cap that has been taken away since is no cap.
        let caps: Vec<(&Key, &str)> = capped(limits).filter(|(key, _)| self.0.contains_key(key)).collect();
        if let Some((full, _)) = caps.iter().find(|(key, _)| self.0.get(key) == Some(&0)) {
            return Err((*full).clone());
        }
        for (key, _) in &caps {
            self.0.entry((*key).clone()).and_modify(|room| *room -= 1);
        }
        Ok(caps.into_iter().map(|(_, name)| name.to_owned()).collect())
    }

    /// Whether nothing more may run under a key.
    pub(super) fn is_full(&self, key: &Key) -> bool {
        self.0.get(key) == Some(&0)
    }
}

/// The capped keys that a task comes under, with their names.
pub(super) fn capped(limits: &Limits) -> impl Iterator<Item = (&Key, &str)> {
    limits
        .iter()
        .filter(|limited| limited.limit.concurrency.is_some())
        .map(|limited| (&limited.key, limited.name.as_str()))
}
