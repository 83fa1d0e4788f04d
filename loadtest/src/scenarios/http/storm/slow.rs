//! Clients that hold a connection up: by what they send, or by what they take.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::noise::Noise;

/// Between two bytes of a request.
const SENDS_EVERY: Duration = Duration::from_secs(1);
/// Between two bytes of an answer.
const TAKES_EVERY: Duration = Duration::from_millis(10);
/// What the kernel takes for a client that takes nothing: little, so that the server notices.
const BUFFER: u32 = 4096;
/// Before one that was not let in tries again.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Slow {
    /// Connections that the reporter ended.
    pub(super) cut: u64,
    /// Bytes of answers.
    pub(super) taken: u64,
}

/// So many slow clients, half of each kind. One that is cut off comes again.
pub(super) async fn clients(noise: &Noise, clients: usize) -> anyhow::Result<Slow> {
    let end = Instant::now() + noise.length;
    let mut running = JoinSet::new();
    for number in 0..clients {
        let (address, token) = (Arc::clone(&noise.address), Arc::clone(&noise.machine));
        running.spawn(async move {
            let mut slow = Slow::default();
            let all = async {
                loop {
                    let held = if number % 2 == 0 {
                        send_slowly(&address).await
                    } else {
                        take_slowly(&address, &token, &mut slow.taken).await
                    };
                    slow.cut += u64::from(held.is_ok());
                    sleep(PAUSE).await;
                }
            };
            tokio::time::timeout_at(end, all).await.ok();
            slow
        });
    }
    let mut all = Slow::default();
    while let Some(slow) = running.join_next().await {
        let Slow { cut, taken } = slow?;
        all = Slow { cut: all.cut + cut, taken: all.taken + taken };
    }
    Ok(all)
}

/// Sends a header that does not end, until it is cut off.
async fn send_slowly(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /api/v1/jobs HTTP/1.1\r\nX-Slow: ").await?;
    let mut answer = [0; 512];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => if read.unwrap_or_default() == 0 { return Ok(()) },
            () = sleep(SENDS_EVERY) => if stream.write_all(b"z").await.is_err() { return Ok(()) },
        }
    }
}

/// Takes a huge page as slowly as it can, until its end or until it is cut off.
async fn take_slowly(address: &str, token: &str, bytes: &mut u64) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    let place = address.parse().map_err(std::io::Error::other)?;
    let mut stream = socket.connect(place).await?;
    let request = format!(
        "GET /api/v1/executions?limit=500 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut byte = [0];
    while stream.read(&mut byte).await.unwrap_or_default() > 0 {
        *bytes += 1;
        sleep(TAKES_EVERY).await;
    }
    Ok(())
}
