//! The source manifest: what a backup saw, so that a restore test can tell whether the snapshot gives it back.
//!
//! A zstd stream of JSON lines: one [`Header`], the [`Entry`]s in the order of the walk (a directory before its
//! content, names in byte order), one [`End`] with the totals, without which the file is incomplete. Ownership,
//! extended attributes and access times are not in it: restoring them needs rights that a restore test may lack.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{paths, protocol::ManifestSummary};

/// The version of the format and of the rule that selects the hashed files.
pub const VERSION: u32 = 1;

/// The longest line, in bytes. Paths have at most 4,096 bytes, each of which may be escaped to three.
const LINE_LIMIT: u64 = 256 * 1024;

/// The compression level. A higher one saves little on such lines and costs noticeably with a million of them.
const LEVEL: i32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Header(Header),
    /// Any line in between.
    Entry(Entry),
    /// The last line.
    End(End),
}

/// How the manifest came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`VERSION`].
    pub version: u32,
    /// What the sample of hashed files was drawn with: the task's id.
    pub seed: String,
    /// The source paths, encoded.
    pub roots: Vec<String>,
    /// What was left out.
    pub exclude: Vec<String>,
}

/// One file, directory or other thing of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The absolute path, [encoded](paths::encode).
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Its size in bytes, as the snapshot holds it. Zero for all but files.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// When it was modified: seconds since 1970 and the nanoseconds beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<(i64, u32)>,
    /// Permissions with the set-id and sticky bits (the lower twelve bits of `st_mode`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where a symbolic link points, encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Files with the same value here are hard links to one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What the file's content hashes to, if it was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hash>,
}

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block or character device.
    Device,
}

/// A SHA-256 of a file's beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    /// How many bytes from the start it covers; the whole file unless it is a large one in a sample.
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// The totals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Entries of every type.
    pub entries: u64,
    /// Files among them.
    pub files: u64,
    /// The size of these files.
    pub bytes: u64,
    /// Files with a hash.
    pub hashed_files: u64,
    /// Bytes that these hashes cover.
    pub hashed_bytes: u64,
}

/// Writes a manifest.
pub struct Writer {
    stream: zstd::Encoder<'static, Hashing<BufWriter<File>>>,
    buffer: Vec<u8>,
    end: End,
}

impl Writer {
    /// Creates the file, or empties the one that is there, and writes the header.
    ///
    /// # Errors
    ///
    /// Whatever writing gives.
    pub fn create(path: &Path, header: Header) -> io::Result<Self> {
        let file = Hashing::new(BufWriter::new(File::create(path)?));
        let stream = zstd::Encoder::new(file, LEVEL)?;
        let mut writer = Self { stream, buffer: Vec::new(), end: End::default() };
        writer.line(&Line::Header(header))?;
        Ok(writer)
    }

    /// Writes one entry.
    ///
    /// # Errors
    ///
    /// Whatever writing gives.
    pub fn entry(&mut self, entry: Entry) -> io::Result<()> {
        self.end.entries += 1;
        if entry.kind == EntryKind::File {
            self.end.files += 1;
            self.end.bytes += entry.size;
        }
        if let Some(hash) = &entry.hash {
            self.end.hashed_files += 1;
            self.end.hashed_bytes += hash.bytes;
        }
        self.line(&Line::Entry(entry))
    }

    /// Writes the totals and makes sure that everything is on disk.
    ///
    /// # Errors
    ///
    /// Whatever writing gives.
    pub fn finish(mut self) -> io::Result<ManifestSummary> {
        self.line(&Line::End(self.end.clone()))?;
        let hashing = self.stream.finish()?;
        let (size, sha256) = (hashing.size, hex::encode(hashing.hash.finalize()));
        hashing.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let End { entries, files, bytes, hashed_files, hashed_bytes } = self.end;
        Ok(ManifestSummary { entries, files, bytes, hashed_files, hashed_bytes, size, sha256 })
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        // In one piece: the compressor is slow to take many small ones.
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        self.stream.write_all(&self.buffer)
    }
}

/// Reads a manifest.
pub struct Reader {
    lines: BufReader<zstd::Decoder<'static, BufReader<File>>>,
    /// What the first line says.
    pub header: Header,
    end: Option<End>,
}

impl Reader {
    /// Opens a manifest and reads its header.
    ///
    /// # Errors
    ///
    /// Whatever reading gives; `InvalidData` for something that is no manifest of this version.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut lines = BufReader::new(zstd::Decoder::new(File::open(path)?)?);
        match read_line(&mut lines)? {
            Line::Header(header) if header.version == VERSION => Ok(Self { lines, header, end: None }),
            _ => Err(invalid("it is no manifest of a version that is known here")),
        }
    }

    /// The next entry, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// Whatever reading gives; `InvalidData` or `UnexpectedEof` for a damaged or incomplete manifest.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        if self.end.is_some() {
            return Ok(None);
        }
        match read_line(&mut self.lines)? {
            Line::Entry(entry) => Ok(Some(entry)),
            Line::End(end) => {
                self.end = Some(end);
                Ok(None)
            }
            Line::Header(_) => Err(invalid("it has a second header")),
        }
    }

    /// The source paths.
    ///
    /// # Errors
    ///
    /// `InvalidData` if one is not encoded properly.
    pub fn roots(&self) -> io::Result<Vec<PathBuf>> {
        self.header.roots.iter().map(|root| decoded(root)).collect()
    }
}

/// Decodes a path of a manifest.
///
/// # Errors
///
/// `InvalidData` if it is not encoded properly.
pub fn decoded(text: &str) -> io::Result<PathBuf> {
    paths::decode(text).ok_or_else(|| invalid("it holds a malformed path"))
}

fn read_line(lines: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    lines.take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is incomplete"));
    }
    Ok(serde_json::from_slice(&line)?)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Hashes and counts what is written through it.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = self.inner.write(data)?;
        self.hash.update(&data[..size]);
        self.size += size as u64;
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
