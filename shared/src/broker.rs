//! Connections to RabbitMQ: one supervisor that starts over at any fault, one publisher, and one reader of queues.

mod publisher;
mod reader;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backon::BackoffBuilder as _;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

pub use publisher::{Confirmed, Publication, PublishError, Publisher, PublisherOwner};
pub use reader::{Delivered, Reader, trace};

use crate::topology;

/// How long connecting, and declaring the topology, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No longer is waited before the next try, and as much again by chance: a broker that is back is noticed soon.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A session that lasted this long was healthy: the next fault starts with a short delay again.
const HEALTHY: Duration = Duration::from_secs(30);
/// A peer that is gone without a word is noticed after two intervals of silence. The URL may ask for another.
const HEARTBEAT_SECONDS: u16 = 15;
/// The client keeps two buffers of 32 frames for each connection, and touches all of them when they grow: with the
/// broker's 128 KiB a worker of nine connections would hold 69 MiB. Larger bodies take several frames; headers cannot, and
/// the client gives up a connection that brings larger ones. The URL may ask for another size.
const FRAME_BYTES: u32 = 16 * 1024;

/// The broker that a process talks to.
#[derive(Debug, Clone)]
pub struct Broker {
    url: SecretString,
    process: String,
    /// `None` for the broker's own.
    frame_bytes: Option<u32>,
    /// Its user may not declare anything, so that it is not tried again.
    looks_only: Arc<AtomicBool>,
}

impl Broker {
    /// Names the broker; nothing is connected yet. `process` is shown in the broker's list of connections.
    ///
    /// # Errors
    /// When the URL cannot be understood. The message never holds the URL, because a password may stand in it.
    pub fn new(url: SecretString, process: &str) -> anyhow::Result<Self> {
        parse(&url)?;
        Ok(Self {
            url,
            process: process.to_owned(),
            frame_bytes: Some(FRAME_BYTES),
            looks_only: Arc::default(),
        })
    }

    /// As this one, for whoever reads what workers could not: it takes every header that the broker took.
    #[must_use]
    pub fn with_large_frames(&self) -> Self {
        Self { frame_bytes: None, ..self.clone() }
    }

    /// Opens one connection, and makes sure of the topology.
    ///
    /// lapin's own recovery stays off: a session ends at the first fault of its connection or of any channel, and
    /// the next one starts from nothing, so that there is one way to recover.
    ///
    /// # Errors
    /// The broker's refusal, or that it did not answer in time.
    pub async fn connect(&self, purpose: &str) -> anyhow::Result<Connection> {
        let name = format!("{} {purpose}", self.process);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let mut uri = parse(&self.url)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max = uri.query.frame_max.or(self.frame_bytes);
        let opening = async {
            let connection = Connection::connect_uri(uri, properties).await?;
            self.make_sure(&connection).await?;
            anyhow::Ok(connection)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => anyhow::bail!("the broker did not answer within {} s", CONNECT_TIMEOUT.as_secs()),
        }
    }

    /// Declares the topology, or, where the user may not do that, looks whether somebody else has: users of workers and reporters need no
    /// right to configure anything.
    async fn make_sure(&self, connection: &Connection) -> anyhow::Result<()> {
        if !self.looks_only.load(Ordering::Relaxed) {
            let channel = connection.create_channel().await?;
            match topology::declare(&channel).await {
                Ok(()) => return Ok(channel.close(200, "declared".into()).await?),
                // The broker has closed the channel.
                Err(error) if is_refused(&error) => self.looks_only.store(true, Ordering::Relaxed),
                Err(error) => return Err(error.into()),
            }
        }
        let channel = connection.create_channel().await?;
        let looked = topology::look(&channel).await;
        looked.context("this user may declare nothing, so a producer has to be started first")?;
        Ok(channel.close(200, "looked".into()).await?)
    }

    /// Runs sessions, one after the other, each on a connection of its own, until `stop`; a session that returns
    /// `Ok` was asked to end.
    pub async fn supervise<F, S>(&self, purpose: &str, stop: &CancellationToken, mut session: F)
    where
        F: FnMut(Connection) -> S,
        S: Future<Output = anyhow::Result<()>>,
    {
        let mut delays = backoff();
        while !stop.is_cancelled() {
            let started = Instant::now();
            let opened = tokio::select! {
                opened = self.connect(purpose) => opened,
                () = stop.cancelled() => return,
            };
            let ended = match opened {
                Ok(connection) => {
                    tracing::info!(purpose, "connected to the broker");
                    session(connection).await
                }
                Err(error) => Err(error),
            };
            let Err(error) = ended else { return };
            if started.elapsed() > HEALTHY {
                delays = backoff();
            }
            let delay = delays.next().unwrap_or(CONNECT_TIMEOUT);
            let error = format!("{error:#}");
            tracing::warn!(
                purpose,
                error,
                delay_ms = delay.as_millis(),
                "the session with the broker ended: starting over"
            );
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

fn is_refused(error: &lapin::Error) -> bool {
    let refused = AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED);
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(error) if *error.kind() == refused)
}

fn parse(url: &SecretString) -> anyhow::Result<AMQPUri> {
    let parsed: Result<AMQPUri, String> = url.expose_secret().parse();
    parsed.map_err(|error| anyhow::anyhow!("AMQP_URL: {error}"))
}

fn backoff() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}
