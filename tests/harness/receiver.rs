//! A receiver of webhooks: it writes down what comes, and answers what it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method and path.
    pub line: String,
    /// The headers, by name in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub body: String,
}

impl Received {
    /// A header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body, which has to be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    answers: VecDeque<String>,
    rest: Duration,
}

/// A receiver on this machine.
pub struct Receiver {
    /// `http://..`, without a path.
    pub url: String,
    state: Arc<Mutex<State>>,
    _running: JoinSet<()>,
}

impl Receiver {
    /// Starts one, which answers 204.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listening");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::<Mutex<State>>::default();
        let mut running = JoinSet::new();
        running.spawn(accept(listener, state.clone()));
        Self { url, state, _running: running }
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().expect("nobody panicked").received.clone()
    }

    /// How the next request is answered: the status line after the version, and headers.
    pub fn answer_next(&self, answer: &str) {
        self.state.lock().expect("nobody panicked").answers.push_back(answer.to_owned());
    }

    /// How long it takes for each answer from now on.
    pub fn answer_after(&self, rest: Duration) {
        self.state.lock().expect("nobody panicked").rest = rest;
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        connections.spawn(receive(connection, state.clone()));
    }
}

/// One request a connection.
async fn receive(mut connection: TcpStream, state: Arc<Mutex<State>>) {
    // Whoever was killed in the middle has sent nothing.
    let Some(received) = read(&mut connection).await else { return };
    let (answer, rest) = {
        let mut state = state.lock().expect("nobody panicked");
        state.received.push(received);
        (state.answers.pop_front().unwrap_or_else(|| "204 No Content".to_owned()), state.rest)
    };
    tokio::time::sleep(rest).await;
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.write_all(answer.as_bytes()).await.ok();
}

async fn read(connection: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        more(connection, &mut bytes).await?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.rsplit_once(' ')?.0.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    while bytes.len() < end + 4 + length {
        more(connection, &mut bytes).await?;
    }
    let body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).ok()?;
    Some(Received { line, headers, body })
}

async fn more(connection: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut part = [0; 8192];
    let read = connection.read(&mut part).await.ok().filter(|read| *read > 0)?;
    bytes.extend_from_slice(&part[..read]);
    Some(())
}
