//! The returns: messages that the broker gave up on, because they were delivered too often, are queued again.
//!
//! A delivery limit tells of consumers that vanished or were stopped, not of the task. Under its id a task runs once,
//! so it can be put in without knowing how far it had come. What cannot be accepted becomes a dead letter.

use std::time::Duration;

use anyhow::Context as _;
use shared::broker::{Broker, Delivered, Publisher, Reader};
use shared::db::{self, Committed, Database, dead_task};
use shared::message::{self, Refusal, Refused, TaskMessage};
use shared::task::TaskId;
use shared::topology::RETURNED;
use shared::{clock, dead_letter};
use tokio_util::sync::CancellationToken;

use crate::{events, metrics, outbox};

/// Messages that are taken and not settled yet: each is at most 256 KiB of work for one transaction.
const WINDOW: u16 = 50;
/// How long one message may take the database.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Where the broker says which queue it took a message out of.
const QUEUE: &str = "x-first-death-queue";

/// Queues returned messages again, over one connection after the other, until `stop`.
pub async fn run(broker: &Broker, database: &Database, publisher: &Publisher, stop: &CancellationToken) {
    let session = async |connection| {
        let reader = Reader::open(connection, RETURNED, WINDOW).await?;
        tokio::select! {
            ended = put_back_all(reader, database, publisher) => ended,
            // What was not acknowledged is still in the queue.
            () = stop.cancelled() => Ok(()),
        }
    };
    // What workers could not even receive comes back here.
    broker.with_large_frames().supervise("returns", stop, session).await;
}

async fn put_back_all(mut reader: Reader, database: &Database, publisher: &Publisher) -> anyhow::Result<()> {
    loop {
        let delivered = reader.next().await?;
        let committed = put_back(&delivered, database, publisher)
            .await
            .context("what the broker returned could not be queued again")?;
        reader.settle(delivered, committed).await?;
    }
}

async fn put_back(
    delivered: &Delivered,
    database: &Database,
    publisher: &Publisher,
) -> anyhow::Result<Committed> {
    let queue = queue_of(delivered);
    let (mut messages, mut refused) = (Vec::new(), Vec::new());
    for task in message::read(&delivered.body, delivered.trace().as_ref(), clock::now()) {
        match task {
            Ok(message) => messages.push(message),
            Err(letter) => refused.push(letter),
        }
    }
    let (done, more) = store(database, &messages).await?;
    metrics::returned();
    events::returned(&queue, messages.len(), done.fresh);
    refused.extend(more);
    for letter in refused {
        events::refused(&queue, &letter.refusal);
        publisher.publish(dead_letter::publication(letter, queue.clone())).await?;
    }
    Ok(done.committed)
}

/// That a message's tasks are in the database.
struct Stored {
    committed: Committed,
    /// How many were not known before.
    fresh: usize,
}

/// Puts the tasks in together; each by itself where the database refuses one of them.
async fn store(database: &Database, messages: &[TaskMessage]) -> Result<(Stored, Vec<Refused>), db::Error> {
    let together = transact(database, messages).await;
    if !together.as_ref().is_err_and(db::Error::blames_the_rows) {
        return together;
    }
    let (mut stored, mut refused) = transact(database, &[]).await?;
    for message in messages {
        match transact(database, std::slice::from_ref(message)).await {
            Ok((alone, letters)) => {
                stored.fresh += alone.fresh;
                refused.extend(letters);
            }
            Err(error) if error.blames_the_rows() => {
                let refusal = Refusal::NotATask(format!("the database refuses it: {error}"));
                refused.push(message.refused(refusal));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((stored, refused))
}

async fn transact(
    database: &Database,
    messages: &[TaskMessage],
) -> Result<(Stored, Vec<Refused>), db::Error> {
    db::within(TRANSACTION_TIMEOUT, async {
        let mut client = database.client().await?;
        let transaction = client.transaction().await?;
        let taken = outbox::take_in(&transaction, messages.to_vec()).await?;
        // What waits in the database although its job takes no tasks any more dies there, and is no dead letter.
        let why: Vec<(TaskId, String)> =
            taken.refused.iter().map(|(_, message, refusal)| (message.id, refusal.to_string())).collect();
        let buried = dead_task::bury_waiting(&transaction, &why).await?;
        // Nor is what has run, or was cancelled with its job.
        let ids: Vec<TaskId> = why.iter().map(|(id, _)| *id).collect();
        let known = db::known_id::known(&transaction, &ids).await?;
        let committed = db::commit(transaction).await?;
        let letters = taken
            .refused
            .into_iter()
            .filter(|(_, message, _)| !buried.contains(&message.id) && !known.contains(&message.id))
            .map(|(_, message, refusal)| message.refused(refusal))
            .collect();
        Ok((Stored { committed, fresh: taken.fresh.len() }, letters))
    })
    .await
}

/// The work queue that a message came from.
fn queue_of(delivered: &Delivered) -> String {
    let said = delivered.header(QUEUE).map(ToOwned::to_owned);
    said.unwrap_or_else(|| format!("holdfast.{}", delivered.routing_key))
}
