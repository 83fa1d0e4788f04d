//! Reading lines of bounded length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line either side accepts, in bytes. The longest one it sends is far shorter; a longer one is garbage.
pub const LINE_LIMIT: usize = 1024 * 1024;

/// The next line without its end, or `None` at the end of the input. An unfinished last line is left out: whoever wrote
/// it died over it.
///
/// # Errors
///
/// Whatever reading gives, and `InvalidData` for a line above [`LINE_LIMIT`].
pub async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let size = end.unwrap_or(buffer.len());
        if line.len() + size > LINE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 1 MiB"));
        }
        line.extend_from_slice(&buffer[..size]);
        input.consume(size + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}
