//! Rows that this version cannot read, of which the log tells once each.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use shared::db::readable::Readable;

use crate::events;

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Untold(HashMap<&'static str, HashSet<String>>);

impl Untold {
    /// The rows of a kind that can be read; those that cannot, and could when this was called last, are told.
    pub(crate) fn readable<T, K: Display>(&mut self, what: &'static str, read: Readable<T, K>) -> Vec<T> {
        let before = self.0.remove(what).unwrap_or_default();
        let mut now = HashSet::new();
        for unreadable in read.unreadable {
            let key = unreadable.key.to_string();
            if !before.contains(&key) {
                events::unreadable(what, &key, &unreadable.error);
            }
            now.insert(key);
        }
        self.0.insert(what, now);
        read.rows
    }
}
