//! The depth of each queue, over a connection of its own; readiness asks over the same one.

use std::time::Duration;

use anyhow::Context as _;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use metrics::gauge;
use shared::broker::Broker;
use shared::task::{Priority, TaskKind};
use shared::topology;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::QUEUE_MESSAGES;

/// A broker that does not answer for this long is given up, and a new session begins.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Says whether there is a session.
#[derive(Debug)]
pub struct Session(watch::Sender<Option<Channel>>);

/// Knows whether the broker answers.
#[derive(Debug, Clone)]
pub struct Reach {
    broker: Broker,
    session: watch::Receiver<Option<Channel>>,
}

/// Both ends of the knowledge about the broker.
#[must_use]
pub fn session(broker: &Broker) -> (Session, Reach) {
    let (sender, session) = watch::channel(None);
    (Session(sender), Reach { broker: broker.clone(), session })
}

impl Reach {
    /// Whether the broker answers: over the session, or, where there is none, over a connection for this question.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> anyhow::Result<()> {
        let channel = self.session.borrow().clone();
        match channel {
            Some(channel) => _ = ready_messages(&channel, topology::DEAD_QUEUE).await?,
            None => _ = self.broker.connect("readiness").await?,
        }
        Ok(())
    }
}

/// Sets the depths of all queues again and again until `stop`, starting over at any fault.
pub async fn observe(broker: &Broker, session: &Session, refresh: Duration, stop: &CancellationToken) {
    broker
        .supervise("queues", stop, async |connection: Connection| {
            let channel = connection.create_channel().await?;
            session.0.send_replace(Some(channel.clone()));
            let ended = tokio::select! {
                failed = set_depths(&channel, refresh) => failed,
                () = stop.cancelled() => Ok(()),
            };
            session.0.send_replace(None);
            ended
        })
        .await;
}

async fn set_depths(channel: &Channel, refresh: Duration) -> anyhow::Result<()> {
    let queues = queues();
    loop {
        let round = async {
            for queue in &queues {
                let messages = ready_messages(channel, queue).await?;
                gauge!(QUEUE_MESSAGES, "queue" => queue.clone()).set(messages);
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(ANSWER_TIMEOUT, round).await.context("the broker does not answer")??;
        tokio::time::sleep(refresh).await;
    }
}

fn queues() -> Vec<String> {
    let of_kind =
        |&kind: &TaskKind| Priority::ALL.iter().map(move |&priority| topology::queue(kind, priority));
    let fixed = [topology::DEAD_QUEUE, topology::RETURNED, topology::UNROUTED].map(str::to_owned);
    TaskKind::ALL.iter().flat_map(of_kind).chain(fixed).collect()
}

async fn ready_messages(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok(queue.message_count())
}
