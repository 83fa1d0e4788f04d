//! The depth of each queue, over a connection of its own; readiness asks over the same one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use metrics::gauge;
use shared::broker::Broker;
use shared::metric;
use shared::metric::Metric;
use shared::topology;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

metric!(QUEUE_MESSAGES: Metric::gauge(
    "holdfast_queue_messages", &["queue"], "Messages that are ready in a queue of the broker"
));

/// A broker that does not answer for this long is given up, and a new session begins.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Says whether there is a session, and answers over it.
#[derive(Debug)]
pub struct Session {
    channel: watch::Sender<Option<Channel>>,
    asked: Mutex<mpsc::Receiver<oneshot::Sender<Depths>>>,
}

/// Messages that are ready, by queue.
pub type Depths = BTreeMap<String, u32>;

/// Knows whether the broker answers.
#[derive(Debug, Clone)]
pub struct Reach {
    broker: Broker,
    session: watch::Receiver<Option<Channel>>,
    ask: mpsc::Sender<oneshot::Sender<Depths>>,
}

/// Both ends of the knowledge about the broker.
#[must_use]
pub fn session(broker: &Broker) -> (Session, Reach) {
    let (channel, session) = watch::channel(None);
    let (ask, asked) = mpsc::channel(1);
    (Session { channel, asked: Mutex::new(asked) }, Reach { broker: broker.clone(), session, ask })
}

impl Reach {
    /// The depths of all queues at this moment; `None` while there is no session.
    pub async fn depths(&self) -> Option<Depths> {
        self.session.borrow().as_ref()?;
        let (answer, depths) = oneshot::channel();
        self.ask.send(answer).await.ok()?;
        depths.await.ok()
    }

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

/// Answers how deep the queues are until `stop`, starting over at any fault.
pub async fn observe(broker: &Broker, session: &Session, stop: &CancellationToken) {
    broker
        .supervise("queues", stop, async |connection: Connection| {
            let channel = connection.create_channel().await?;
            // One session follows the other.
            let mut asked = session.asked.lock().await;
            session.channel.send_replace(Some(channel.clone()));
            let ended = tokio::select! {
                failed = answer(&channel, &mut asked) => failed,
                () = stop.cancelled() => Ok(()),
            };
            session.channel.send_replace(None);
            // Whoever asked meanwhile must not wait for the next one.
            while asked.try_recv().is_ok() {}
            ended
        })
        .await;
}

async fn answer(
    channel: &Channel,
    asked: &mut mpsc::Receiver<oneshot::Sender<Depths>>,
) -> anyhow::Result<()> {
    let queues: Vec<String> = topology::queues().collect();
    while let Some(answer) = asked.recv().await {
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
        // Whoever asked may have given up.
        _ = answer.send(depths);
    }
    Ok(())
}

async fn ready_messages(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok(queue.message_count())
}
