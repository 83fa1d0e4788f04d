//! Answers in Redis: whatever becomes of it, nobody who asks notices more than that it takes longer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use metrics::gauge;
use redis::AsyncCommands as _;
use redis::TlsCertificates;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use shared::clock;
use shared::tls::Trust;
use tokio::sync::OnceCell;

use crate::api::answer::Answer;
use crate::api::source::Source;
use crate::events;
use crate::metrics::CACHE_REDIS_UP;

/// How long an answer of Redis is waited for. It is in the same network, and answers within a millisecond.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it is left alone after it failed.
const REST: Duration = Duration::from_secs(1);
/// Larger answers are not worth the way there and back.
const MOST_BYTES: usize = 256 * 1024;
/// The form of what is stored; that of another version has another name.
const FORM: &str = concat!("holdfast:", env!("CARGO_PKG_VERSION"));

/// A Redis server.
pub struct Redis {
    connection: ConnectionManager,
    /// Which database the answers are of: one server may be shared by several installations.
    identity: OnceCell<String>,
    /// Until when it is left alone, in milliseconds since 1970; 0 while it works.
    rests_until: AtomicI64,
}

fn wrong() -> anyhow::Error {
    anyhow::anyhow!(
        "REDIS_URL: it is not of the form redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss://.."
    )
}

/// With authorities of our own the client knows no others.
fn client(url: &SecretString, trust: &Trust) -> anyhow::Result<redis::Client> {
    // The client would take some of them for a wish not to look at certificates.
    if url.expose_secret().contains('#') {
        anyhow::bail!("REDIS_URL: a # has no meaning there; in a password it is written %23");
    }
    opened(url, trust).map_err(|_| wrong())
}

fn opened(url: &SecretString, trust: &Trust) -> anyhow::Result<redis::Client> {
    match trust.file().filter(|_| url.expose_secret().starts_with("rediss://")) {
        None => Ok(redis::Client::open(url.expose_secret())?),
        Some(authorities) => {
            let root_cert = Some(std::fs::read(authorities)?);
            let certificates = TlsCertificates { client_tls: None, root_cert };
            Ok(redis::Client::build_with_tls(url.expose_secret(), certificates)?)
        }
    }
}

impl Redis {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The URL cannot be understood. The message never holds it, because a password may stand in it.
    pub fn new(url: &SecretString, trust: &Trust) -> anyhow::Result<Self> {
        let client = client(url, trust)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(|_| wrong())?;
        Ok(Self { connection, identity: OnceCell::new(), rests_until: AtomicI64::new(0) })
    }

    /// Whether a URL can be understood.
    ///
    /// # Errors
    /// It cannot. The message never holds it, because a password may stand in it.
    pub fn check(url: &SecretString) -> anyhow::Result<()> {
        client(url, &Trust::default()).map(drop)
    }

    /// An answer that some process has stored.
    pub(super) async fn get(&self, source: &Source, key: &str) -> Option<Answer> {
        let key = self.key(source, key).await?;
        let mut connection = self.connection.clone();
        let stored: Option<Vec<u8>> = self.ask(async { connection.get(key).await }).await?;
        unpacked(stored?)
    }

    /// Stores an answer for others.
    pub(super) async fn set(&self, source: &Source, key: &str, answer: &Answer, lasting: Duration) {
        if answer.body.len() > MOST_BYTES {
            return;
        }
        let Some(key) = self.key(source, key).await else { return };
        let mut connection = self.connection.clone();
        let millis = u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX).max(1);
        let set = async { connection.pset_ex::<_, _, ()>(key, packed(answer), millis).await };
        self.ask(set).await;
    }

    /// Does without it for a while when it fails.
    async fn ask<T>(&self, asking: impl Future<Output = redis::RedisResult<T>>) -> Option<T> {
        let why = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => {
                if self.rests_until.swap(0, Ordering::Relaxed) != 0 {
                    events::redis_works();
                }
                gauge!(CACHE_REDIS_UP).set(1.0);
                return Some(answer);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", PATIENCE.as_millis()),
        };
        let until = clock::now().timestamp_millis() + i64::try_from(REST.as_millis()).unwrap_or(0);
        if self.rests_until.swap(until, Ordering::Relaxed) == 0 {
            events::redis_failed(&why);
        }
        gauge!(CACHE_REDIS_UP).set(0.0);
        None
    }

    /// The name of an answer in Redis; `None` while that is left alone.
    async fn key(&self, source: &Source, key: &str) -> Option<String> {
        if self.rests_until.load(Ordering::Relaxed) > clock::now().timestamp_millis() {
            return None;
        }
        let identity = self.identity.get_or_try_init(|| source.identity());
        // The database's trouble, which whoever reads there hears of next.
        let identity = tokio::time::timeout(PATIENCE, identity).await.ok()?.ok()?;
        Some(format!("{FORM}:{identity}:{}", hex::encode(Sha256::digest(key))))
    }
}

/// The cursor, which has no end of a line in it, and the body behind one.
fn packed(answer: &Answer) -> Vec<u8> {
    let next = answer.next.as_deref().unwrap_or_default();
    let mut packed = format!("{next}\n").into_bytes();
    packed.extend_from_slice(&answer.body);
    packed
}

fn unpacked(mut packed: Vec<u8>) -> Option<Answer> {
    let end = packed.iter().position(|byte| *byte == b'\n')?;
    let body = packed.split_off(end + 1);
    packed.pop();
    let next = String::from_utf8(packed).ok()?;
    Some(Answer::new(Bytes::from(body), (!next.is_empty()).then_some(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_unpacked_as_it_was_packed() {
        for next in [None, Some("abc-_".to_owned())] {
            let answer = Answer::page(b"[{\"a\":\"\\n\"}]", next);
            assert_eq!(unpacked(packed(&answer)), Some(answer));
        }
        assert_eq!(unpacked(b"no end".to_vec()), None);
    }
}
