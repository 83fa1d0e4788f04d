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

    /// The token of a bearer, if it is remembered as a good one.
    #[must_use]
    pub fn remembers(&self, bearer: &Bearer) -> Option<Token> {
        let token = self.0.as_ref()?.get(&key(bearer))?;
        token.expires_at.is_none_or(|end| end > clock::now()).then_some(token)
    }

    /// The token of a bearer, if the first of the servers that can be asked knows it as good.
    ///
    /// # Errors
    /// The first server's, where none can be asked.
    pub async fn good(&self, servers: &[Database], bearer: &Bearer) -> Result<Option<Token>, Error> {
        let found = ask(servers, bearer).await?;
        if let (Some(cache), Some(token)) = (&self.0, &found) {
            cache.insert(key(bearer), token.clone());
        }
        Ok(found)
    }
}

async fn ask(servers: &[Database], bearer: &Bearer) -> Result<Option<Token>, Error> {
    let mut failed = None;
    for server in servers {
        let asked = async { api_token::good(&server.client().await?, bearer).await };
        match asked.await {
            Ok(found) => return Ok(found),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// What a token is remembered by: its secret is in it, and cannot be had from it.
fn key(bearer: &Bearer) -> [u8; 32] {
    Sha256::new().chain_update(bearer.id.as_bytes()).chain_update(bearer.hash()).finalize().into()
}
