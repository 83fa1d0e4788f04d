//! The depth of each queue, over a connection of its own; readiness asks over the same one.

use std::collections::BTreeMap;
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

/// Says whether there is a session, and how deep the queues are.
#[derive(Debug)]
pub struct Session {
    channel: watch::Sender<Option<Channel>>,
    depths: watch::Sender<Option<Depths>>,
}

/// Messages that are ready, by queue.
pub type Depths = BTreeMap<String, u32>;

/// Knows whether the broker answers.
#[derive(Debug, Clone)]
pub struct Reach {
    broker: Broker,
    session: watch::Receiver<Option<Channel>>,
}

/// Both ends of the knowledge about the broker; depths are known while there is a session.
#[must_use]
pub fn session(broker: &Broker) -> (Session, Reach, watch::Receiver<Option<Depths>>) {
    let (channel, session) = watch::channel(None);
    let (depths, known) = watch::channel(None);
    (Session { channel, depths }, Reach { broker: broker.clone(), session }, known)
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
            session.channel.send_replace(Some(channel.clone()));
            let ended = tokio::select! {
                failed = set_depths(&channel, &session.depths, refresh) => failed,
                () = stop.cancelled() => Ok(()),
            };
            session.channel.send_replace(None);
            session.depths.send_replace(None);
            ended
        })
        .await;
}

async fn set_depths(
    channel: &Channel,
    known: &watch::Sender<Option<Depths>>,
    refresh: Duration,
) -> anyhow::Result<()> {
    let queues = queues();
    loop {
        let round = async {
            let mut depths = Depths::new();
            for queue in &queues {
                let messages = ready_messages(channel, queue).await?;
                gauge!(QUEUE_MESSAGES, "queue" => queue.clone()).set(messages);
                depths.insert(queue.clone(), messages);
            }
            anyhow::Ok(depths)
        };
        let depths =
            tokio::time::timeout(ANSWER_TIMEOUT, round).await.context("the broker does not answer")??;
        known.send_replace(Some(depths));
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
