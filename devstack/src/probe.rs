//! Whether a server answers, asked in its own protocol over TCP.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A server that takes longer for its first bytes counts as not answering.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends a PostgreSQL startup message; true when the server asks for the password, so takes connections.
pub async fn postgres_answers(port: u16) -> bool {
    let parameters = b"user\0holdfast\0database\0holdfast\0\0";
    let mut message = Vec::new();
    // Length with itself, then protocol version 3.0.
    message.extend(u32::try_from(parameters.len() + 8).unwrap_or_default().to_be_bytes());
    message.extend(196_608_u32.to_be_bytes());
    message.extend(parameters);
    // 'R' opens an authentication request; an 'E', an error, comes while the server still starts.
    exchange::<1>(port, &message).await.is_ok_and(|answer| answer == *b"R")
}

/// Sends the AMQP 0-9-1 protocol header; true when the broker opens with `Connection.Start`.
pub async fn amqp_answers(port: u16) -> bool {
    let is_start = |frame: [u8; 11]| {
        let (header, method) = (&frame[..3], &frame[7..]);
        // A method frame (1) on channel 0; class 10 (connection), method 10 (start).
        header == [1, 0, 0] && method == [0, 10, 0, 10]
    };
    exchange::<11>(port, b"AMQP\x00\x00\x09\x01").await.is_ok_and(is_start)
}

/// Asks RabbitMQ's management API for its overview; true when it answers or wants a password.
pub async fn management_answers(port: u16) -> bool {
    let request =
        format!("GET /api/overview HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    exchange::<12>(port, request.as_bytes())
        .await
        .is_ok_and(|line| matches!(&line, b"HTTP/1.1 200" | b"HTTP/1.1 401"))
}

/// True when somebody listens.
pub(crate) async fn listens(port: u16) -> bool {
    matches!(timeout(PATIENCE, TcpStream::connect(("127.0.0.1", port))).await, Ok(Ok(_)))
}

async fn exchange<const N: usize>(port: u16, request: &[u8]) -> anyhow::Result<[u8; N]> {
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request).await?;
        let mut answer = [0; N];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    Ok(timeout(PATIENCE, talk).await.context("no answer in time")??)
}
