//! How many requests with one token are answered at once: those that take long leave places for others.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::db::api_token::Token;

/// The most tokens whose requests are counted: beyond that, those that were used least are counted anew.
const MOST_COUNTED: u64 = 10_000;

/// Turns of all tokens.
#[derive(Clone)]
pub(super) struct Turns {
    each: usize,
    counted: Cache<Uuid, Arc<Semaphore>>,
}

impl Turns {
    /// So many at once with each token, at least one.
    pub(super) fn new(each: usize) -> Self {
        Self { each: each.max(1), counted: Cache::new(MOST_COUNTED) }
    }

    /// Those of a token; never closed.
    pub(super) fn of(&self, token: &Token) -> Arc<Semaphore> {
        self.counted.get_with(token.id, || Arc::new(Semaphore::new(self.each)))
    }
}
