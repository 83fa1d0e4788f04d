//! The stage for what cannot be accepted: it goes to the dead letters with its reason, the pool goes on.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use shared::broker::Publisher;
use shared::dead_letter;
use shared::message::Refused;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::events;
use crate::metrics;
use crate::ticket::Ticket;

/// Dead letters on their way at once.
const CONCURRENCY: usize = 64;
/// How long to wait before a dead letter is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Something that was refused, with the right to settle it.
#[derive(Debug)]
pub struct Refusing {
    /// What, and why.
    pub refused: Refused,
    /// Where it came from.
    pub queue: String,
    /// Its ticket.
    pub ticket: Ticket,
}

/// Publishes what was refused until nothing more comes; a letter that cannot be published by the time of `stop`
/// keeps its message in its queue.
pub async fn run(mut refusals: mpsc::Receiver<Refusing>, publisher: &Publisher, stop: &CancellationToken) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = under_way.next() => {}
            refusing = refusals.recv(), if under_way.len() < CONCURRENCY => match refusing {
                Some(refusing) => under_way.push(bury(refusing, publisher, stop)),
                None => break,
            },
        }
    }
    while under_way.next().await.is_some() {}
}

async fn bury(refusing: Refusing, publisher: &Publisher, stop: &CancellationToken) {
    let Refusing { refused, queue, ticket } = refusing;
    events::refused(&queue, &refused.refusal);
    metrics::refused(refused.refusal.code());
    let publication = dead_letter::publication(refused, queue);
    while !stop.is_cancelled() {
        let confirm = tokio::select! {
            confirm = publisher.publish(publication.clone()) => confirm,
            () = stop.cancelled() => return,
        };
        match confirm {
            Ok(confirmed) => return ticket.dead_lettered(confirmed),
            Err(error) => events::dead_letter_delayed(&error.to_string()),
        }
        tokio::time::sleep(RETRY).await;
    }
}
