//! Connections, each bounded in what it may hold up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::events;
use super::place::Place;
use crate::tls::{self, Identity};

/// How long a request's line and headers may take to come, also behind an answer on a connection that is kept.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);
/// How long a client may take for the handshake of TLS.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
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
/// The address is in use, or is none of this machine; the files of the certificate are no good.
pub async fn listen(place: &Place) -> anyhow::Result<Listener> {
    let Place { address, tls } = place;
    let identity = tls.as_ref().map(Identity::load).transpose()?;
    let socket = TcpListener::bind(address).await.with_context(|| format!("listen: {address}"))?;
    events::listening(socket.local_addr()?, identity.is_some());
    Ok(Listener { socket, identity })
}

/// An address that was taken.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    identity: Option<Arc<Identity>>,
}

/// Answers until `stop`; what is being answered then is finished, if that takes no longer than a client may be slow.
///
/// # Errors
/// None, as long as TLS has versions to speak.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    let Listener { socket, identity } = listener;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(MOST_HEADER_BYTES)
        .max_headers(MOST_HEADERS);
    let places = Arc::new(Semaphore::new(room_for_connections()));
    let (graceful, mut running, mut renewing) = (GracefulShutdown::new(), JoinSet::new(), JoinSet::new());
    let acceptor = identity.as_ref().map(Identity::acceptor).transpose()?;
    if let Some(identity) = identity {
        renewing.spawn(identity.keep());
    }
    loop {
        let accepted = async {
            // Never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, socket.accept().await)
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
        let connection =
            Connection { http: http.clone(), router: router.clone(), address, watcher: graceful.watcher() };
        let (acceptor, open, stopping) = (acceptor.clone(), Open::count(), stop.clone());
        running.spawn(async move {
            let (_place, _open) = (place, open);
            let stream = Box::pin(bounded(stream));
            match acceptor {
                None => connection.serve(stream).await,
                Some(acceptor) => connection.secure_and_serve(&acceptor, stream, &stopping).await,
            }
        });
    }
    drop(socket);
    if tokio::time::timeout(TAKEN_WITHIN, graceful.shutdown()).await.is_err() {
        events::connections_cut(running.len());
    }
    Ok(())
}

/// A client that came.
struct Connection {
    http: http1::Builder,
    router: Router,
    address: SocketAddr,
    watcher: Watcher,
}

impl Connection {
    async fn secure_and_serve(
        self,
        acceptor: &TlsAcceptor,
        stream: Pin<Box<TimeoutStream<TcpStream>>>,
        stop: &CancellationToken,
    ) {
        let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream));
        let ended = tokio::select! {
            ended = handshake => ended,
            // Nothing was asked yet: nobody who is still in the handshake is waited for.
            () = stop.cancelled() => return,
        };
        match ended {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => {
                let why = tls::explain(&error).unwrap_or_else(|| error.to_string());
                events::no_handshake(self.address, &why);
            }
            Err(_) => events::no_handshake(self.address, "it took too long"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let Self { http, router, address, watcher } = self;
        let service =
            service_fn(move |request: hyper::Request<Incoming>| answer(router.clone(), address, request));
        // A client that is gone, late, or speaks no HTTP is its own affair.
        watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await.ok();
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
