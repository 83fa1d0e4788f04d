//! The relay: publishes waiting rows whose time has come.
//!
//! A row is taken in one short statement, published, and marked when the broker has confirmed it; no transaction is
//! open meanwhile. What is not confirmed is taken again later, so a task may be published twice: its id runs once.
//!
//! Each queue has a lane of its own ([`lane`]): one that takes nothing rests for longer and longer, and the others go on.

mod lane;
mod traced;

use std::collections::BTreeMap;
use std::time::Duration;

use backon::BackoffBuilder as _;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use shared::broker::{Publication, Publisher};
use shared::db::task::{self, Due};
use shared::db::{self, Database};
use shared::message::{self, TaskMessage};
use shared::task::{Priority, TaskKind};
use shared::topology::{TASKS_EXCHANGE, routing_key};
use shared::trace::{Moment, TraceContext};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{events, metrics};
use lane::Lanes;

/// So many messages are made of a queue's rows before they are made to share them.
const MESSAGES: usize = 32;
/// How long the relay rests when nothing is due.
const POLL: Duration = Duration::from_millis(100);
/// How long it rests at most when the database fails.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Tasks of one kind and priority share a queue.
type Queue = (TaskKind, Priority);

/// Publishes batch after batch of each queue until `stop`; the batches at hand are finished.
///
/// `again` is how long a confirmed message may lie unclaimed before it is published again.
pub async fn run(database: &Database, publisher: &Publisher, again: Duration, stop: &CancellationToken) {
    let (mut lanes, mut batches) = (Lanes::default(), FuturesUnordered::new());
    let (mut rests, mut look_at) = (rests(), Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some((queue, ended)) = batches.next(), if !batches.is_empty() => {
                lanes.settle(queue, ended);
                look_at = Instant::now();
            }
            () = sleep_until(look_at) => match take(database, &mut lanes).await {
                Ok(taken) => {
                    let publish = async |(queue, rows): (Queue, Vec<Due>)| {
                        (queue, publish(database, publisher, again, queue, rows).await)
                    };
                    batches.extend(taken.into_iter().map(publish));
                    (rests, look_at) = (self::rests(), Instant::now() + POLL);
                }
                Err(error) => {
                    let rest = rests.next().unwrap_or(LONGEST_REST);
                    events::relay_failed(&error, rest);
                    look_at = Instant::now() + rest;
                }
            },
        }
    }
    while let Some((queue, ended)) = batches.next().await {
        lanes.settle(queue, ended);
    }
}

/// Takes what is due of the queues whose lanes are free.
async fn take(database: &Database, lanes: &mut Lanes) -> Result<BTreeMap<Queue, Vec<Due>>, db::Error> {
    let due = task::take_due(&database.client().await?, &lanes.free(Instant::now())).await?;
    let mut taken: BTreeMap<Queue, Vec<Due>> = BTreeMap::new();
    for row in due {
        taken.entry((row.message.kind, row.message.priority)).or_default().push(row);
    }
    for queue in taken.keys() {
        lanes.occupy(*queue);
    }
    Ok(taken)
}

/// What became of a batch.
struct Ended {
    confirmed: usize,
    unconfirmed: usize,
    /// Why not all is confirmed and marked.
    trouble: Option<anyhow::Error>,
}

async fn publish(
    database: &Database,
    publisher: &Publisher,
    again: Duration,
    queue: Queue,
    mut due: Vec<Due>,
) -> Ended {
    let (began, from, traced) = (Instant::now(), Moment::now(), traced::name(&mut due));
    let messages = messages(queue, &due);
    let answers =
        join_all(messages.iter().map(|(publication, _)| publisher.publish(publication.clone()))).await;
    let told: Vec<_> = messages
        .iter()
        .zip(&answers)
        .map(|((publication, rows), answer)| (rows.len(), publication.message_id.as_str(), answer.is_ok()))
        .collect();
    traced::send(traced, &due, queue, from, &told);
    let (mut confirmed, mut failed, mut trouble) = (Vec::with_capacity(due.len()), Vec::new(), None);
    for ((_, rows), answer) in messages.iter().zip(answers) {
        let rows = rows.iter().map(|row| (row.message.id, row.publication));
        match answer {
            Ok(_) => confirmed.extend(rows),
            Err(error) => {
                failed.extend(rows);
                trouble.get_or_insert(error.into());
            }
        }
    }
    let marked = async {
        if !failed.is_empty() {
            task::publish_again(&database.client().await?, &failed).await?;
        }
        if !confirmed.is_empty() {
            task::mark_published(&database.client().await?, &confirmed, again).await?;
        }
        Ok::<_, db::Error>(())
    };
    // What could not be marked is taken again when its time for a confirm is over.
    let marked = marked.await;
    metrics::relayed(queue.0, confirmed.len(), failed.len(), began.elapsed());
    Ended {
        confirmed: confirmed.len(),
        unconfirmed: failed.len(),
        trouble: trouble.or_else(|| marked.err().map(Into::into)),
    }
}

/// The rows as messages. Many that are due at once share messages, which spares the broker and the workers the most of
/// the work; few travel alone, so that every worker can have some.
fn messages((kind, priority): Queue, due: &[Due]) -> Vec<(Publication, &[Due])> {
    let tasks: Vec<&TaskMessage> = due.iter().map(|row| &row.message).collect();
    let mut left = due;
    let message = |(body, count)| {
        let rows = left.split_off(..count).unwrap_or_default();
        let publication = Publication {
            exchange: TASKS_EXCHANGE,
            routing_key: routing_key(kind, priority),
            body,
            message_id: Uuid::now_v7().to_string(),
            headers: trace(rows).map(TraceContext::headers).unwrap_or_default(),
        };
        (publication, rows)
    };
    message::pack(&tasks, (tasks.len() / MESSAGES).max(1)).into_iter().map(message).collect()
}

/// The trace of a message whose tasks share one. Each task carries its own in the body; the header is for whoever looks at
/// headers alone.
fn trace(rows: &[Due]) -> Option<&TraceContext> {
    let (first, rest) = rows.split_first()?;
    let trace = first.message.trace.as_ref()?;
    rest.iter().all(|row| row.message.trace.as_ref() == Some(trace)).then_some(trace)
}

fn rests() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(POLL)
        // The jitter adds up to as much again.
        .with_max_delay(LONGEST_REST / 2)
        .with_jitter()
        .without_max_times()
        .build()
}
