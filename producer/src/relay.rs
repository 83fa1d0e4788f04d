//! The relay: publishes waiting rows whose time has come.
//!
//! A row is taken in one short statement, published, and marked when the broker has confirmed it; no transaction is
//! open meanwhile. What is not confirmed is taken again later, so a task may be published twice: its id runs once.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::BackoffBuilder as _;
use futures_util::future::join_all;
use shared::broker::{Publication, PublishError, Publisher};
use shared::db::task::{self, Due};
use shared::db::{self, Database};
use shared::message::{self, TaskMessage};
use shared::task::{Priority, TaskKind};
use shared::topology::{TASKS_EXCHANGE, routing_key};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events;

/// Rows that are published together.
const BATCH: usize = 1000;
/// So many messages are made of a queue's rows before they are made to share them.
const MESSAGES: usize = 32;
/// How long the relay rests when nothing is due.
const POLL: Duration = Duration::from_millis(100);
/// How long it rests at most when the database fails.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Publishes batch after batch until `stop`; the batch at hand is finished.
///
/// `again` is how long a confirmed message may lie unclaimed before it is published again.
pub async fn run(database: &Database, publisher: &Publisher, again: Duration, stop: &CancellationToken) {
    let mut rests = rests();
    while !stop.is_cancelled() {
        let rest = match publish_batch(database, publisher, again).await {
            Ok(taken) => {
                rests = self::rests();
                if taken == 0 { POLL } else { Duration::ZERO }
            }
            Err(error) => {
                let rest = rests.next().unwrap_or(LONGEST_REST);
                events::relay_failed(&error, rest);
                rest
            }
        };
        _ = tokio::time::timeout(rest, stop.cancelled()).await;
    }
}

async fn publish_batch(
    database: &Database,
    publisher: &Publisher,
    again: Duration,
) -> Result<usize, db::Error> {
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let due = task::take_due(&database.client().await?, limit).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let messages = messages(&due);
    let answers =
        join_all(messages.iter().map(|(publication, _)| publisher.publish(publication.clone()))).await;
    let (mut confirmed, mut failed) = (Vec::with_capacity(due.len()), Vec::new());
    let mut first_error: Option<PublishError> = None;
    for ((_, rows), answer) in messages.iter().zip(answers) {
        let rows = rows.iter().map(|row| (row.message.id, row.publication));
        match answer {
            Ok(_) => confirmed.extend(rows),
            Err(error) => {
                failed.extend(rows);
                first_error.get_or_insert(error);
            }
        }
    }
    if !failed.is_empty() {
        task::publish_again(&database.client().await?, &failed).await?;
    }
    if !confirmed.is_empty() {
        task::mark_published(&database.client().await?, &confirmed, again).await?;
    }
    match first_error {
        None => events::published(confirmed.len()),
        Some(error) => events::not_confirmed(confirmed.len(), due.len() - confirmed.len(), &error),
    }
    Ok(due.len())
}

/// The rows as messages. Many that are due at once share messages, which spares the broker and the workers the most of
/// the work; few travel alone, so that every worker can have some.
fn messages(due: &[Due]) -> Vec<(Publication, Vec<&Due>)> {
    let mut queues: BTreeMap<(TaskKind, Priority), Vec<&Due>> = BTreeMap::new();
    for row in due {
        queues.entry((row.message.kind, row.message.priority)).or_default().push(row);
    }
    let mut messages = Vec::new();
    for ((kind, priority), rows) in queues {
        let tasks: Vec<&TaskMessage> = rows.iter().map(|row| &row.message).collect();
        let mut rows = rows.into_iter();
        for (body, count) in message::pack(&tasks, (tasks.len() / MESSAGES).max(1)) {
            let publication = Publication {
                exchange: TASKS_EXCHANGE,
                routing_key: routing_key(kind, priority),
                body,
                message_id: Uuid::now_v7().to_string(),
                headers: Vec::new(),
            };
            messages.push((publication, rows.by_ref().take(count).collect()));
        }
    }
    messages
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
