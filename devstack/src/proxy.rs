//! A network between a service and a server that can be broken.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::ports;

/// Bytes of one direction that are under way at most, beside the kernel's own buffers.
const UNDER_WAY: usize = 16 * 1024;
/// Between two attempts to accept where the process has run out of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carries everything.
    Pass,
    /// Takes connections and bytes and delivers nothing, in neither direction, without a word to anybody: a
    /// firewall that forgot the connection, or a machine without power. What was under way arrives when
    /// [`Mode::Pass`] returns, as TCP would send it again.
    BlackHole,
    /// Ends each connection at once, and every new one.
    Cut,
}

/// A TCP proxy on `127.0.0.1` in front of a port of the same machine.
///
/// Dropping it ends all its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy that passes everything on to `target`. It runs in the caller's tokio runtime.
    pub async fn start(target: u16) -> anyhow::Result<Self> {
        // Below the ports of outgoing connections, for the same reason as a server's own.
        let [port] = ports::pick()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await.context("cannot start a proxy")?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, modes));
        Ok(Self { port, mode, _accepting: accepting })
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what the network does, for the connections that exist as well.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn accept(listener: TcpListener, target: u16, modes: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => _ = connections.spawn(connect(client, target, modes.clone())),
                Err(_) => tokio::time::sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until an end hangs up or the network is cut.
async fn connect(client: TcpStream, target: u16, modes: watch::Receiver<Mode>) {
    let mut cut = modes.clone();
    let carrying = async {
        // The server hears of a new connection only when something can get through.
        until(&mut modes.clone(), Mode::Pass).await;
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            carry(from_client, to_server, modes.clone()),
            carry(from_server, to_client, modes.clone())
        );
    };
    tokio::select! {
        () = carrying => {}
        () = until(&mut cut, Mode::Cut) => {}
    }
}

/// Carries one direction, its end included.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    modes: watch::Receiver<Mode>,
) {
    let mut modes = modes;
    let mut buffer = vec![0; UNDER_WAY];
    while let Ok(bytes) = from.read(&mut buffer).await {
        // Read before the network failed or not: it does not arrive.
        until(&mut modes, Mode::Pass).await;
        if bytes == 0 || to.write_all(&buffer[..bytes]).await.is_err() {
            break;
        }
    }
    to.shutdown().await.ok();
}

async fn until(modes: &mut watch::Receiver<Mode>, awaited: Mode) {
    if modes.wait_for(|mode| *mode == awaited).await.is_err() {
        // The proxy is gone, and this task with it.
        std::future::pending::<()>().await;
    }
}
