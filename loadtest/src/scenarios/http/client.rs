//! One client: a connection that is kept, and one request after the other on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, ETAG, HOST, IF_NONE_MATCH, RETRY_AFTER};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long an answer may take to be there in full: longer than a reporter takes to give up.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The path with its query.
    pub(super) path: String,
    /// By whom; `None` where nobody has to say.
    pub(super) token: Option<Arc<str>>,
    /// How the answer may be packed.
    pub(super) packing: Option<&'static str>,
    /// The tag of the answer that is there already.
    pub(super) known: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) tag: Option<String>,
    /// Whether it says when to come again.
    pub(super) says_when: bool,
    /// As it came: packed, if it was.
    pub(super) body: Bytes,
}

/// A client.
pub(super) struct Client {
    address: Arc<str>,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    // Reads and writes until it is dropped.
    _driver: JoinSet<hyper::Result<()>>,
}

impl Ask {
    /// A request of nobody, which takes the answer as it is.
    pub(super) fn plain(path: impl Into<String>) -> Self {
        Self { path: path.into(), token: None, packing: None, known: None }
    }

    /// A request of somebody who takes answers as programs and browsers do.
    pub(super) fn of(token: &Arc<str>, path: impl Into<String>) -> Self {
        Self { token: Some(Arc::clone(token)), packing: Some("gzip"), ..Self::plain(path) }
    }
}

impl Client {
    /// A client that connects when it asks.
    pub(super) fn new(address: &Arc<str>) -> Self {
        Self { address: Arc::clone(address), connection: None }
    }

    /// Asks, and waits until the answer is there in full.
    ///
    /// # Errors
    /// There is no answer, or only a part of one: the next request is made on a new connection.
    pub(super) async fn get(&mut self, ask: &Ask) -> anyhow::Result<Answer> {
        let answer = tokio::time::timeout(PATIENCE, self.ask(ask)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn ask(&mut self, ask: &Ask) -> anyhow::Result<Answer> {
        // A server ends a connection on which nothing came for a while, which is no failure.
        if let Some(connection) = &mut self.connection
            && connection.sender.ready().await.is_err()
        {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.address).await?);
        }
        let connection = self.connection.as_mut().context("no connection")?;
        let response = connection.sender.send_request(request(&self.address, ask)?).await?;
        let (head, body) = response.into_parts();
        let tag = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let says_when = head.headers.contains_key(RETRY_AFTER);
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), tag, says_when, body })
    }

    /// Asks for something that is JSON.
    pub(super) async fn json(&mut self, token: &Arc<str>, path: &str) -> anyhow::Result<serde_json::Value> {
        let ask = Ask { packing: None, ..Ask::of(token, path) };
        let answer = self.get(&ask).await.with_context(|| path.to_owned())?;
        let body = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "{path} is answered with {}: {body}", answer.status);
        serde_json::from_slice(&answer.body).with_context(|| format!("{path} is no JSON: {body}"))
    }
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self { sender, _driver: driver })
    }
}

fn request(address: &str, ask: &Ask) -> anyhow::Result<Request<Empty<Bytes>>> {
    let mut request = Request::get(ask.path.as_str()).header(HOST, address);
    if let Some(token) = &ask.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(packing) = ask.packing {
        request = request.header(ACCEPT_ENCODING, packing);
    }
    if let Some(tag) = &ask.known {
        request = request.header(IF_NONE_MATCH, tag);
    }
    request.body(Empty::new()).with_context(|| format!("asking for {}", ask.path))
}
