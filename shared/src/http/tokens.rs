//! Which tokens are good: asked for at each request, or remembered for a few seconds.

use std::time::Duration;

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::access::Bearer;
use crate::clock;
use crate::db::api_token::{self, Token};
use crate::db::{Database, Error};

/// The most that are remembered: beyond that, those that were used least.
const MOST_REMEMBERED: u64 = 10_000;

/// Good tokens. Those that are not good are never remembered: each such request is asked for, and counts.
#[derive(Debug)]
pub struct Tokens(Option<Cache<[u8; 32], Token>>);

impl Tokens {
    /// Asks the database at each request: a revocation counts at once.
    #[must_use]
    pub const fn always_asked() -> Self {
        Self(None)
    }

    /// Remembers good ones for so long: a token that was revoked is good for no longer than that.
    #[must_use]
    pub fn remembered(lasting: Duration) -> Self {
        Self(Some(Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(lasting).build()))
    }

    /// The token of a bearer, if it is good.
    ///
    /// # Errors
    /// The database's.
    pub async fn good(&self, database: &Database, bearer: &Bearer) -> Result<Option<Token>, Error> {
        let key = self.0.as_ref().map(|cache| (cache, key(bearer)));
        if let Some((cache, key)) = &key
            && let Some(token) = cache.get(key)
            && token.expires_at.is_none_or(|end| end > clock::now())
        {
            return Ok(Some(token));
        }
        let found = api_token::good(&database.client().await?, bearer).await?;
        if let (Some((cache, key)), Some(token)) = (key, &found) {
            cache.insert(key, token.clone());
        }
        Ok(found)
    }
}

/// What a token is remembered by: its secret is in it, and cannot be had from it.
fn key(bearer: &Bearer) -> [u8; 32] {
    Sha256::new().chain_update(bearer.id.as_bytes()).chain_update(bearer.hash()).finalize().into()
}
