//! Asks a process on its socket.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::exit::BadInput;

/// One request on a connection of its own.
pub(super) async fn ask(socket: &Path, method: Method, path: &str, body: String) -> anyhow::Result<Bytes> {
    let gone = || format!("{}: does the process run, with this {}?", socket.display(), super::SOCKET);
    let broken = || socket.display().to_string();
    let stream = UnixStream::connect(PathBuf::from(socket)).await.with_context(gone)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(broken)?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header(HOST, "admin").body(Full::<Bytes>::from(body));
    let request = request.map_err(|error| BadInput(error.to_string()))?;
    let answer = sender.send_request(request).await.with_context(broken)?;
    let status = answer.status();
    let body = answer.into_body().collect().await.with_context(broken)?.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    let problem: Option<Value> = serde_json::from_slice(&body).ok();
    let why =
        problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or("it does not say why");
    let why = format!("the process answers {}: {why}", status.as_u16());
    Err(if status.is_client_error() { BadInput(why).into() } else { anyhow::anyhow!(why) })
}
