//! Connections to RabbitMQ: one supervisor that starts over at any fault, one publisher, and one reader of queues.

mod publisher;
mod reader;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use backon::BackoffBuilder as _;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::{AMQPUriTcpExt as _, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

pub use publisher::{Confirmed, Publication, PublishError, Publisher, PublisherOwner};
pub use reader::{Delivered, Reader, trace};

use crate::metric;
use crate::metric::Metric;
use crate::settings::{Key, Settings, key};
use crate::tls::{self, Checks, Trust};
use crate::topology;

metric!(SESSIONS_FAILED: Metric::counter(
    "holdfast_broker_sessions_failed_total", &["purpose"],
    "Sessions with the broker that ended by a fault, or could not begin, by what they are for"
));

/// How long connecting, and declaring the topology, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No longer is waited before the next try, and as much again by chance: a broker that is back is noticed soon.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A session that lasted this long was healthy: the next fault starts with a short delay again.
const HEALTHY: Duration = Duration::from_secs(30);
/// How often it is said again what keeps a connection from coming about.
const SAY_AGAIN: Duration = Duration::from_mins(1);
/// A peer that is gone without a word is noticed after two intervals of silence. The URL may ask for another.
const HEARTBEAT_SECONDS: u16 = 15;
/// The client keeps two buffers of 32 frames for each connection, and touches all of them when they grow: with the
/// broker's 128 KiB a worker of nine connections would hold 69 MiB. Larger bodies take several frames; headers cannot, and
/// the client gives up a connection that brings larger ones. The URL may ask for another size.
const FRAME_BYTES: u32 = 16 * 1024;

/// What a user without the right to configure learns where nothing, or not everything, is declared.
const UNDECLARED: &str = "this user may not declare what is missing: a producer has to be started first, and a producer's own user needs \
     the right to configure what begins with holdfast.";

/// The broker that a process talks to.
#[derive(Debug, Clone)]
pub struct Broker {
    url: SecretString,
    /// Who may vouch for the server.
    trust: Trust,
    process: String,
    /// `None` for the broker's own.
    frame_bytes: Option<u32>,
    /// Whether the supervised session for a purpose is there.
    sessions: Arc<Mutex<BTreeMap<String, bool>>>,
    /// Its user may not declare anything and needs not, so that it is not tried again.
    looks_only: Arc<AtomicBool>,
}

impl Broker {
    /// Names the broker; nothing is connected yet. `process` is shown in the broker's list of connections.
    ///
    /// # Errors
    /// When the URL cannot be understood. The message never holds the URL, because a password may stand in it.
    pub fn new(url: SecretString, trust: Trust, process: &str) -> anyhow::Result<Self> {
        parse(&url)?;
        Ok(Self {
            url,
            trust,
            process: process.to_owned(),
            frame_bytes: Some(FRAME_BYTES),
            sessions: Arc::default(),
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
            let connection = self.open(uri, properties).await?;
            self.make_sure(&connection).await?;
            anyhow::Ok(connection)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => anyhow::bail!("the broker did not answer within {} s", CONNECT_TIMEOUT.as_secs()),
        }
    }

    /// The purposes for which sessions are supervised, and whether each has one at this moment.
    #[must_use]
    pub fn sessions(&self) -> BTreeMap<String, bool> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, purpose: &str, connected: bool) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(purpose.to_owned(), connected);
    }

    async fn open(&self, uri: AMQPUri, properties: ConnectionProperties) -> anyhow::Result<Connection> {
        if uri.scheme == AMQPScheme::AMQP {
            return Connection::connect_uri(uri, properties).await.map_err(with_a_hint);
        }
        let connector = RustlsConnector::from(self.trust.client(Checks::Everything)?);
        let connect = async move |uri: AMQPUri, runtime| {
            let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
            let stream = plain.connect_async(&runtime).await?;
            let secured = stream.into_rustls(&connector, &uri.authority.host).await;
            secured.map_err(|error| match tls::explain(&error) {
                Some(why) => std::io::Error::other(why).into(),
                None => lapin::Error::from(error),
            })
        };
        let runtime = lapin::runtime::default_runtime()?;
        Ok(Connection::connector(uri, runtime, connect, properties).await?)
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
        if let Err(error) = topology::look(&channel).await {
            // Its rights may be mended meanwhile.
            self.looks_only.store(false, Ordering::Relaxed);
            return Err(error).context(UNDECLARED);
        }
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
        let failed = metrics::counter!(SESSIONS_FAILED, "purpose" => purpose.to_owned());
        failed.increment(0);
        self.note(purpose, false);
        let mut said = None;
        while !stop.is_cancelled() {
            let started = Instant::now();
            let opened = tokio::select! {
                opened = self.connect(purpose) => opened,
                () = stop.cancelled() => return,
            };
            let ended = match opened {
                Ok(connection) => {
                    tracing::info!(purpose, "connected to the broker");
                    self.note(purpose, true);
                    said = None;
                    session(connection).await.map_err(Trouble::Session)
                }
                Err(error) => Err(Trouble::Connecting(error)),
            };
            self.note(purpose, false);
            let Err(trouble) = ended else { return };
            failed.increment(1);
            if started.elapsed() > HEALTHY {
                delays = backoff();
            }
            let delay = delays.next().unwrap_or(CONNECT_TIMEOUT);
            trouble.say(purpose, delay, &mut said);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// A server that speaks TLS answers a plain greeting by ending the connection.
fn with_a_hint(error: lapin::Error) -> anyhow::Error {
    let broken_off = match error.kind() {
        ErrorKind::IOError(cause) => {
            matches!(cause.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
        }
        ErrorKind::ParsingError(_) => true,
        _ => false,
    };
    let error = anyhow::Error::new(error);
    if broken_off {
        return error
            .context("broken off before a greeting came (a port for TLS wants amqps:// in AMQP_URL)");
    }
    error
}

/// Why a session is not, or is not any more.
enum Trouble {
    Connecting(anyhow::Error),
    Session(anyhow::Error),
}

impl Trouble {
    /// What keeps a connection from coming about is said when it is new, and then now and then.
    fn say(&self, purpose: &str, delay: Duration, said: &mut Option<(String, Instant)>) {
        let delay_ms = delay.as_millis();
        match self {
            Self::Session(error) => {
                let error = format!("{error:#}");
                tracing::warn!(purpose, error, delay_ms, "the session with the broker ended: starting over");
            }
            Self::Connecting(error) => {
                let error = format!("{error:#}");
                if said.as_ref().is_some_and(|(before, at)| *before == error && at.elapsed() < SAY_AGAIN) {
                    return;
                }
                tracing::warn!(purpose, error, "no connection to the broker: trying again and again");
                *said = Some((error, Instant::now()));
            }
        }
    }
}

/// The setting that says where the broker is.
#[must_use]
pub fn url_key() -> Key {
    key("amqp_url", "Where the broker is: `amqp://USER:PASSWORD@HOST:PORT/VIRTUAL_HOST`, or `amqps://..` with TLS; a virtual host `/` is written `%2f`")
        .such_as("amqps://USER:PASSWORD@HOST:5671/holdfast")
}

/// Rejects a broker's URL that cannot be understood; one that is missing was told of before.
pub fn check_url(settings: &mut Settings, url: &SecretString) {
    if !url.expose_secret().is_empty()
        && let Err(error) = parse(url)
    {
        settings.reject(error.to_string());
    }
}

fn is_refused(error: &lapin::Error) -> bool {
    let refused = AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED);
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(error) if *error.kind() == refused)
}

/// What the libraries say of a URL may hold a part of it: their words are not passed on.
fn parse(url: &SecretString) -> anyhow::Result<AMQPUri> {
    let url = url.expose_secret();
    let (Ok(parsed), Ok(uri)) = (url.parse::<Url>(), url.parse::<AMQPUri>()) else {
        bail!("AMQP_URL: it is not of the form amqp://USER:PASSWORD@HOST:PORT/VIRTUAL_HOST, or amqps://..");
    };
    // For the client every other host is this machine.
    if parsed.domain().is_none_or(str::is_empty) {
        bail!("AMQP_URL: names no host that can be used: write a name or an IPv4 address");
    }
    Ok(uri)
}

fn backoff() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_no_good_is_refused_by_its_variable_and_without_its_password() {
        let form = "AMQP_URL: it is not of the form amqp://USER:PASSWORD@HOST:PORT/VIRTUAL_HOST";
        let host = "AMQP_URL: names no host that can be used: write a name or an IPv4 address";
        for (url, said) in [
            ("u:swordfish@h", form),
            ("http://u:swordfish@h/", form),
            ("amqp://u:swordfish@h:many/", form),
            ("amqp://u:swordfish@h/%2f?auth_mechanism=swordfish", form),
            ("amqp://u:swordfish@[2001:db8::1]:5672/%2f", host),
            ("amqps://[::1]/", host),
            ("amqp:///%2f", host),
        ] {
            let error = parse(&url.into()).unwrap_err().to_string();
            assert!(error.starts_with(said) && !error.contains("swordfish"), "{url}: {error}");
        }
        for (url, host) in
            [("amqp://u:p@mq.example.org/holdfast", "mq.example.org"), ("amqps://127.0.0.1", "127.0.0.1")]
        {
            assert_eq!(parse(&url.into()).unwrap().authority.host, host, "{url}");
        }
    }
}
