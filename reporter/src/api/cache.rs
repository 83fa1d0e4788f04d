//! Answers that are kept: in this process, and in Redis where several processes share them.
//!
//! What seldom changes is kept under the version that the database counts for it, and what is known of one job under its last judgement:
//! each request asks for that, and has what is at least that new. What all workers do has no version, because counting it would make them
//! wait for each other: it is kept for a moment, so that however many ask, it is read once in that time.

mod redis;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use moka::Expiry;
use moka::future::Cache as Memory;
use shared::clock;
use tokio::sync::Semaphore;

pub use redis::Redis;

use super::answer::{Answer, Failure};
use super::entity::{Kept, Lasting};
use super::source::{Server, Source};
use super::summary;
use super::wanted::Wanted;
use crate::metrics::CACHE_REQUESTS;

/// Bytes of answers that are kept in this process.
const MEMORY: u64 = 64 * 1024 * 1024;

/// How much is kept, and for how long.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Bytes of answers in this process.
    pub memory: u64,
    /// For how long those of each name are; zero keeps none.
    pub lasting: BTreeMap<&'static str, Duration>,
}

impl Default for Keeping {
    fn default() -> Self {
        let lasting = kept().map(|kept| (kept.name, kept.by_default())).collect();
        Self { memory: MEMORY, lasting }
    }
}

/// All whose answers are kept.
pub(crate) fn kept() -> impl Iterator<Item = Kept> {
    let lists = super::entities::ALL.iter().flat_map(|entity| entity.all_kept());
    lists.chain([summary::KEPT]).filter(|kept| kept.lasting != Lasting::Never)
}

/// Answers that are kept.
pub struct Cache {
    memory: Memory<String, Stored>,
    redis: Option<Redis>,
    lasting: BTreeMap<&'static str, Duration>,
}

#[derive(Clone)]
struct Stored {
    answer: Arc<Answer>,
    lasting: Duration,
}

struct UntilOver;

impl Expiry<String, Stored> for UntilOver {
    fn expire_after_create(&self, _: &String, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(stored.lasting)
    }
}

impl Cache {
    /// Keeps in this process, and in Redis if there is one.
    #[must_use]
    pub fn new(keeping: Keeping, redis: Option<Redis>) -> Self {
        let size = |key: &String, stored: &Stored| {
            u32::try_from(key.len() + stored.answer.body.len() + size_of::<Answer>()).unwrap_or(u32::MAX)
        };
        let memory =
            Memory::builder().max_capacity(keeping.memory).weigher(size).expire_after(UntilOver).build();
        Self { memory, redis, lasting: keeping.lasting }
    }

    /// The answer to a query: one that is kept, or one that is read. However many ask at once, it is read once.
    ///
    /// # Errors
    /// There is nothing of the kind, or the database's.
    pub(super) async fn answer(
        &self,
        source: &Source,
        wanted: &Wanted<'_>,
        query: &str,
        turns: &Semaphore,
    ) -> Result<Answer, Failure> {
        let (server, kept) = (source.server(), wanted.kept());
        let lasting = self.lasting.get(kept.name).copied().unwrap_or_default();
        if lasting.is_zero() {
            return read(source, server, wanted, turns).await;
        }
        let (server, state) = match wanted.version() {
            Some(version) => {
                let (server, version) = source.version(server, version).await?;
                (server, format!("v{version}"))
            }
            None if matches!(kept.lasting, Lasting::Settled(_)) => (server, String::new()),
            None => (server, format!("t{}", moment(lasting))),
        };
        let key = format!("{}|{state}|{}|{query}", kept.name, wanted.form());
        let init = async {
            let answer = self.shared_or_read(source, server, wanted, (&key, lasting), turns).await?;
            Ok(Stored { answer: Arc::new(answer), lasting })
        };
        let entry = self.memory.entry_by_ref(&key).or_try_insert_with(init).await;
        let entry = entry.map_err(|failure: Arc<Failure>| (*failure).clone())?;
        let result = if entry.is_fresh() { "miss" } else { "hit" };
        counter!(CACHE_REQUESTS, "entity" => kept.name, "tier" => "memory", "result" => result).increment(1);
        Ok((*entry.into_value().answer).clone())
    }

    async fn shared_or_read(
        &self,
        source: &Source,
        server: Server,
        wanted: &Wanted<'_>,
        (key, lasting): (&str, Duration),
        turns: &Semaphore,
    ) -> Result<Answer, Failure> {
        let Some(redis) = &self.redis else { return read(source, server, wanted, turns).await };
        let kept = wanted.kept();
        let found = redis.get(source, key).await;
        let result = if found.is_some() { "hit" } else { "miss" };
        counter!(CACHE_REQUESTS, "entity" => kept.name, "tier" => "redis", "result" => result).increment(1);
        if let Some(answer) = found {
            return Ok(answer);
        }
        let answer = read(source, server, wanted, turns).await?;
        redis.set(source, key, &answer, lasting).await;
        Ok(answer)
    }
}

async fn read(
    source: &Source,
    server: Server,
    wanted: &Wanted<'_>,
    turns: &Semaphore,
) -> Result<Answer, Failure> {
    let _turn = turns.acquire().await;
    source.read(server, wanted).await?.ok_or(Failure::Missing)
}

/// Which of the moments it is that follow each other: an answer of one is given for no longer than it lasts, by whichever process.
fn moment(lasting: Duration) -> i64 {
    let millis = i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX).max(1);
    clock::now().timestamp_millis() / millis
}
