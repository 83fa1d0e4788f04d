//! A network that passes, swallows and cuts.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::Duration;

use devstack::{Proxy, proxy::Mode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Longer than any byte takes on the loopback device, short enough to watch that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_secs(10);

async fn pair() -> (TcpListener, Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap().port()).await.unwrap();
    let client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let (server, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    (listener, proxy, client, server)
}

async fn hears(stream: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    timeout(DEADLINE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, expected);
}

async fn hears_nothing(stream: &mut TcpStream) {
    // An end of file would be something, too.
    assert!(timeout(SILENCE, stream.read(&mut [0])).await.is_err());
}

#[tokio::test]
async fn what_is_said_passes_in_both_directions_and_so_does_an_end() {
    let (_listener, _proxy, mut client, mut server) = pair().await;
    client.write_all(b"ping").await.unwrap();
    hears(&mut server, b"ping").await;
    server.write_all(b"pong").await.unwrap();
    hears(&mut client, b"pong").await;
    drop(client);
    assert_eq!(timeout(DEADLINE, server.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_black_hole_swallows_everything_without_an_end_and_delivers_it_once_it_is_gone() {
    let (listener, proxy, mut client, mut server) = pair().await;
    proxy.set(Mode::BlackHole);
    client.write_all(b"ping").await.unwrap();
    server.write_all(b"pong").await.unwrap();
    hears_nothing(&mut server).await;
    hears_nothing(&mut client).await;
    // New ones are taken as well, and the server hears nothing of them.
    let mut second = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    second.write_all(b"hello").await.unwrap();
    assert!(timeout(SILENCE, listener.accept()).await.is_err());
    hears_nothing(&mut second).await;

    proxy.set(Mode::Pass);
    hears(&mut server, b"ping").await;
    hears(&mut client, b"pong").await;
    let (mut server, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    hears(&mut server, b"hello").await;
}

#[tokio::test]
async fn a_cut_ends_connections_at_both_sides_and_new_ones_too() {
    let (listener, proxy, mut client, mut server) = pair().await;
    proxy.set(Mode::Cut);
    for stream in [&mut client, &mut server] {
        assert!(matches!(timeout(DEADLINE, stream.read(&mut [0])).await.unwrap(), Ok(0) | Err(_)));
    }
    let mut second = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    assert!(matches!(timeout(DEADLINE, second.read(&mut [0])).await.unwrap(), Ok(0) | Err(_)));
    assert!(timeout(SILENCE, listener.accept()).await.is_err());
}
