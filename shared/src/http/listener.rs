//! Connections, each bounded in what it may hold up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::events;

/// How long a request's line and headers may take to come, also behind an answer on a connection that is kept.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);
/// How long a client may take nothing of its answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// The most that a request's line and headers may have, in bytes.
const MOST_HEADER_BYTES: usize = 32 * 1024;
/// The most headers.
const MOST_HEADERS: usize = 64;
/// Connections at once; further ones wait to be taken. Each has a buffer or two.
const MOST_CONNECTIONS: usize = 4_096;
/// Files that a process may have open: as many again as there are connections, for everything else.
const FILES: u64 = 2 * MOST_CONNECTIONS as u64;
/// After an error that is not about one connection, such as no number for another file.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that are open, of all listeners of this process.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// How many connections of clients are open in this process.
#[must_use]
pub fn connections() -> usize {
    CONNECTIONS.load(Ordering::Relaxed)
}

/// A connection that is counted as long as this lives.
struct Open;

impl Open {
    fn count() -> Self {
        CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes the address, so that a wrong one is found at the start, and says which one it is.
///
/// # Errors
/// The address is in use, or is none of this machine.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen: {address}"))?;
    events::listening(listener.local_addr()?);
    Ok(listener)
}

/// Answers until `stop`; what is being answered then is finished, if that takes no longer than a client may be slow.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(MOST_HEADER_BYTES)
        .max_headers(MOST_HEADERS);
    let places = Arc::new(Semaphore::new(room_for_connections()));
    let (graceful, mut running) = (GracefulShutdown::new(), JoinSet::new());
    loop {
        let accepted = async {
            // Never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
            Some(_) = running.join_next() => continue,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                events::not_accepted(&error);
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        let service =
            service_fn(move |request: hyper::Request<Incoming>| answer(router.clone(), address, request));
        let connection =
            graceful.watch(http.serve_connection(TokioIo::new(Box::pin(bounded(stream))), service));
        let open = Open::count();
        running.spawn(async move {
            let (_place, _open) = (place, open);
            // A client that is gone, late, or speaks no HTTP is its own affair.
            connection.await.ok();
        });
    }
    drop(listener);
    if tokio::time::timeout(TAKEN_WITHIN, graceful.shutdown()).await.is_err() {
        events::connections_cut(running.len());
    }
}

/// How many connections there is room for: half of the files that this process may open, which it has raised where the usual thousand is
/// not all that it may ask for.
fn room_for_connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(FILES);
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit { current: Some(most), maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let half = limit.current.unwrap_or(FILES) / 2;
    usize::try_from(half).unwrap_or(MOST_CONNECTIONS).clamp(1, MOST_CONNECTIONS)
}

fn bounded(stream: TcpStream) -> TimeoutStream<TcpStream> {
    // Answers are written whole: nothing is gained by waiting for more.
    stream.set_nodelay(true).ok();
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKEN_WITHIN));
    stream
}

async fn answer(
    mut router: Router,
    address: SocketAddr,
    mut request: hyper::Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(address));
    router.call(request.map(axum::body::Body::new)).await
}
