//! How much is read at once for one token: who asks for what takes long leaves connections to others.

use std::sync::Arc;

use moka::sync::Cache;
use shared::db::api_token::Token;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// The most tokens whose turns are counted: beyond that, those that were used least are counted anew.
const MOST_COUNTED: u64 = 10_000;

/// Turns of all tokens. Only who reads has one, not who waits for what somebody else reads.
#[derive(Clone)]
pub(super) struct Turns {
    each: usize,
    counted: Cache<Uuid, Arc<Semaphore>>,
}

impl Turns {
    /// So many at once for each token, at least one.
    pub(super) fn new(each: usize) -> Self {
        Self { each: each.max(1), counted: Cache::new(MOST_COUNTED) }
    }

    /// Those of a token; never closed.
    pub(super) fn of(&self, token: &Token) -> Arc<Semaphore> {
        self.counted.get_with(token.id, || Arc::new(Semaphore::new(self.each)))
    }

    /// Those of nobody, who asks for one thing after the other.
    pub(super) fn of_nobody() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(1))
    }
}
