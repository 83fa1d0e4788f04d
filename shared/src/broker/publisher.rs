//! Publishing with confirms: one owner task a channel, so that confirms cannot be taken for each other's.

mod answers;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Broker;
use answers::{Answered, Outcome, judge};

/// Publishes that may be written, or wait for their confirms, at once.
const WINDOW: usize = 1000;
/// Of these, the ones that may not be written yet: a broker that blocks publishers leaves them with the client, which keeps
/// them until it may write, also when nobody waits for them any more.
const UNWRITTEN: usize = 64;
/// How long a publish may take from the call to its confirm. A blocked connection lets a publish wait for ever.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// With less time left a publish is not begun: it would end the session when its time is over.
const LEAST_TIME: Duration = Duration::from_secs(2);
/// After so long of refusals another channel takes over: one of RabbitMQ 3.10 goes on refusing for a queue that was full once,
/// also when its limit has been lifted. The session goes on, because it serves queues that take messages as well.
const REFUSALS: Duration = Duration::from_secs(10);
/// How long confirms are awaited after the stop.
const DRAIN: Duration = Duration::from_secs(2);
/// Messages are kept through a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message on its way out.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where to.
    pub exchange: &'static str,
    /// As what.
    pub routing_key: String,
    /// JSON.
    pub body: Vec<u8>,
    /// Told apart by it when the broker returns a message.
    pub message_id: String,
    /// Text headers.
    pub headers: Vec<(&'static str, String)>,
}

/// Proof that the broker took responsibility for a message: what rests on it can be acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Confirmed(());

/// Why a message may not have arrived. In doubt it was published: consumers know the id and run it once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The broker refused it, for example because a queue is full.
    #[error("the broker refused the message")]
    Refused,
    /// No queue takes it.
    #[error("no queue takes the message")]
    Unroutable,
    /// Nothing was heard in time.
    #[error("the broker did not confirm within {} s", PUBLISH_TIMEOUT.as_secs())]
    TimedOut,
    /// The connection broke.
    #[error("the connection to the broker broke")]
    Disconnected,
    /// The confirm came with another message's return, so that its own may have gone with yet another's confirm.
    #[error("the broker's answer cannot be told from another message's")]
    InDoubt,
}

type Answer = oneshot::Sender<Result<Confirmed, PublishError>>;

struct Request {
    publication: Publication,
    deadline: Instant,
    answer: Answer,
}

/// Publishes through its [`PublisherOwner`].
#[derive(Debug, Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
}

impl Publisher {
    /// A publisher, and the owner that somebody must run.
    #[must_use]
    pub fn new(broker: Broker, purpose: &'static str) -> (Self, PublisherOwner) {
        // A full channel makes callers wait, up to their own deadline.
        let (sender, requests) = mpsc::channel(WINDOW);
        (Self { requests: sender }, PublisherOwner { broker, purpose, requests })
    }

    /// Publishes one message and waits until the broker has it.
    ///
    /// # Errors
    /// The message may then be published or not.
    pub async fn publish(&self, publication: Publication) -> Result<Confirmed, PublishError> {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        let request = Request { publication, deadline, answer };
        match timeout_at(deadline, self.requests.send(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(PublishError::Disconnected),
            Err(_) => return Err(PublishError::TimedOut),
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(PublishError::Disconnected),
            Err(_) => Err(PublishError::TimedOut),
        }
    }
}

/// Owns the channel that a [`Publisher`] publishes through.
#[derive(Debug)]
pub struct PublisherOwner {
    broker: Broker,
    purpose: &'static str,
    requests: mpsc::Receiver<Request>,
}

impl PublisherOwner {
    /// Publishes what comes, over one connection after the other, until `stop` or until every publisher is gone.
    pub async fn run(self, stop: CancellationToken) {
        let Self { broker, purpose, requests } = self;
        let requests = tokio::sync::Mutex::new(requests);
        let session = async |connection| {
            let mut requests = requests.lock().await;
            Session::open(connection).await?.run(&mut requests, &stop).await
        };
        broker.supervise(purpose, &stop, session).await;
    }
}

struct Session {
    channel: Channel,
    // A connection closes when its last handle is gone.
    connection: Connection,
    unwritten: Arc<Semaphore>,
    in_flight: FuturesUnordered<BoxFuture<'static, InFlight>>,
    returned: HashSet<String>,
    refused_since: Option<Instant>,
}

struct InFlight {
    message_id: String,
    answer: Answer,
    outcome: Result<Answered, PublishError>,
    /// What the client said when it failed.
    error: Option<lapin::Error>,
}

impl Session {
    async fn open(connection: Connection) -> lapin::Result<Self> {
        Ok(Self {
            channel: channel(&connection).await?,
            connection,
            unwritten: Arc::new(Semaphore::new(UNWRITTEN)),
            in_flight: FuturesUnordered::new(),
            returned: HashSet::new(),
            refused_since: None,
        })
    }

    async fn run(
        mut self,
        requests: &mut mpsc::Receiver<Request>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let unwritten = self.unwritten.clone();
        let mut next = async || {
            // The semaphore is never closed.
            let permit = unwritten.clone().acquire_owned().await.ok()?;
            Some((requests.recv().await?, permit))
        };
        loop {
            tokio::select! {
                Some(ended) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.settle(ended)?;
                    if self.refused_since.is_some_and(|since| since.elapsed() > REFUSALS) {
                        self.renew_channel().await?;
                    }
                }
                request = next(), if self.in_flight.len() < WINDOW => match request {
                    Some((request, permit)) => self.begin(request, permit),
                    None => return self.drain().await,
                },
                () = stop.cancelled() => return self.drain().await,
            }
        }
    }

    fn begin(&mut self, request: Request, permit: OwnedSemaphorePermit) {
        let Request { publication, deadline, answer } = request;
        if deadline <= Instant::now() + LEAST_TIME {
            // Its caller has given up, or is about to.
            _ = answer.send(Err(PublishError::TimedOut));
            return;
        }
        let (channel, message_id) = (self.channel.clone(), publication.message_id.clone());
        // The client's call ends when its message is written: the next one does not wait for that, so that all that there
        // are go into one write.
        self.in_flight.push(Box::pin(async move {
            let confirmed = async {
                let written = write(&channel, &publication).await;
                drop((publication, permit));
                written?.await
            };
            let (outcome, error) = match timeout_at(deadline, confirmed).await {
                Ok(Ok(confirmation)) => (Ok(confirmation.into()), None),
                Ok(Err(error)) => (Err(PublishError::Disconnected), Some(error)),
                Err(_) => (Err(PublishError::TimedOut), None),
            };
            InFlight { message_id, answer, outcome, error }
        }));
    }

    /// Settles a confirm together with all others that are there: a return may ride on any of them.
    fn settle(&mut self, first: InFlight) -> anyhow::Result<()> {
        let mut ended = vec![first];
        ended.extend(all_ready(&mut self.in_flight));
        let error = ended.iter_mut().find_map(|ended| ended.error.take());
        let (answers, outcomes): (Vec<Answer>, Vec<Outcome>) =
            ended.into_iter().map(|ended| (ended.answer, (ended.message_id, ended.outcome))).unzip();
        let mut broken = false;
        for (answer, result) in answers.into_iter().zip(judge(&mut self.returned, outcomes)) {
            broken |= matches!(result, Err(PublishError::Disconnected | PublishError::TimedOut));
            if result.as_ref().is_err_and(|error| *error == PublishError::Refused) {
                self.refused_since.get_or_insert_with(Instant::now);
            }
            // A caller that has given up takes no answer.
            _ = answer.send(result);
        }
        // Also after a confirm that did not come in time: should it come late, it would take a return along that
        // belongs to another message.
        if broken {
            let silent = || {
                anyhow::anyhow!("a confirm was awaited in vain: the broker is silent, or blocks publishers")
            };
            return Err(error.map_or_else(silent, anyhow::Error::new));
        }
        Ok(())
    }

    /// What is under way keeps its own channel.
    async fn renew_channel(&mut self) -> anyhow::Result<()> {
        let opening = timeout(PUBLISH_TIMEOUT, channel(&self.connection)).await;
        self.channel = opening.context("the broker opens no other channel")??;
        self.refused_since = None;
        Ok(())
    }

    async fn drain(mut self) -> anyhow::Result<()> {
        let draining = async {
            while let Some(ended) = self.in_flight.next().await {
                self.settle(ended)?;
            }
            Ok(())
        };
        // What is not confirmed by then is published again by whoever keeps it.
        timeout(DRAIN, draining).await.unwrap_or(Ok(()))
    }
}

async fn channel(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// All that have ended. The collection also says that it has none when it only wants to give others a turn; then it has
/// woken its caller.
fn all_ready(in_flight: &mut FuturesUnordered<BoxFuture<'static, InFlight>>) -> Vec<InFlight> {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut ended = Vec::new();
    loop {
        match in_flight.poll_next_unpin(&mut context) {
            Poll::Ready(Some(next)) => ended.push(next),
            Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending | Poll::Ready(None) => return ended,
        }
    }
}

async fn write(channel: &Channel, publication: &Publication) -> lapin::Result<lapin::PublisherConfirm> {
    let mut headers = FieldTable::default();
    for (name, value) in &publication.headers {
        headers.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(publication.message_id.as_str().into())
        .with_timestamp(crate::clock::now().timestamp().unsigned_abs())
        .with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (publication.exchange.into(), publication.routing_key.as_str().into());
    channel.basic_publish(exchange, key, options, &publication.body, properties).await
}
