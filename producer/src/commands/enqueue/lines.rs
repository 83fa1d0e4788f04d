//! The lines of a file of any length, of which no more is held than a message may have.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use shared::message::MAX_BYTES;

/// A line that is not empty.
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    /// What stands on it, without its end; as far as one byte more than a message may have.
    pub(super) text: Vec<u8>,
}

/// Reads line after line.
pub(super) struct Lines<R> {
    from: R,
    number: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(from: R) -> Self {
        Self { from, number: 0 }
    }

    /// The next line that is not empty; `None` at the end.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let Some(text) = self.read().await? else { return Ok(None) };
            self.number += 1;
            if !text.trim_ascii().is_empty() {
                return Ok(Some(Line { number: self.number, text }));
            }
        }
    }

    async fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let mut begun = false;
        loop {
            let part = self.from.fill_buf().await?;
            if part.is_empty() {
                return Ok(begun.then_some(text));
            }
            begun = true;
            let end = part.iter().position(|byte| *byte == b'\n');
            let part = &part[..end.unwrap_or(part.len())];
            let room = (MAX_BYTES + 1).saturating_sub(text.len());
            text.extend_from_slice(&part[..part.len().min(room)]);
            let consumed = part.len() + usize::from(end.is_some());
            self.from.consume(consumed);
            if end.is_some() {
                return Ok(Some(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn empty_lines_count_and_a_line_without_an_end_is_one() {
        let mut lines = Lines::new(&b"\na\n \r\nb\r\n\nc"[..]);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            read.push((line.number, String::from_utf8(line.text).unwrap()));
        }
        let expected = [(2, "a"), (4, "b\r"), (6, "c")];
        assert_eq!(read, expected.map(|(number, text)| (number, text.to_owned())));
    }

    #[tokio::test]
    async fn of_a_line_that_is_too_long_no_more_is_held() {
        let text = format!("{}\nnext\n", "x".repeat(10 * MAX_BYTES));
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(1000, text.as_bytes()));
        assert_eq!(lines.next().await.unwrap().unwrap().text.len(), MAX_BYTES + 1);
        let next = lines.next().await.unwrap().unwrap();
        assert_eq!((next.number, &next.text[..]), (2, &b"next"[..]));
        assert!(lines.next().await.unwrap().is_none());
    }
}
