//! Files to back up: the same bytes in each run.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// Files in one directory.
const PER_DIRECTORY: usize = 100;
/// How much is written at once.
const BLOCK: usize = 1024 * 1024;

/// What files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Bytes that nothing compresses.
    Random,
    /// Letters of four bits each: they compress to about half.
    Letters,
}

/// A number of files of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How many.
    pub(crate) files: usize,
    /// The smallest size, in bytes.
    pub(crate) least: usize,
    /// The largest size, in bytes.
    pub(crate) most: usize,
    /// What they hold.
    pub(crate) content: Content,
}

/// A directory of files that was written once.
#[derive(Debug)]
pub(crate) struct Data {
    /// The directory.
    pub(crate) path: PathBuf,
    /// Its files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Data {
    /// Writes files of these shapes; the same seed gives the same files.
    pub(crate) fn write(path: PathBuf, shapes: &[Shape], seed: u64) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut data = Self { path, files: 0, bytes: 0 };
        fs::create_dir_all(&data.path)?;
        for (kind, shape) in shapes.iter().enumerate() {
            for number in 0..shape.files {
                let directory = data.path.join(format!("{kind}-{}", number / PER_DIRECTORY));
                if number % PER_DIRECTORY == 0 {
                    fs::create_dir(&directory)?;
                }
                let size = random.random_range(shape.least..=shape.most);
                fill(&directory.join(number.to_string()), size, shape.content, &mut random)?;
                data.files += 1;
                data.bytes += size as u64;
            }
        }
        Ok(data)
    }

    /// Reads everything once, so that the kernel has it in memory, and has the kernel write what earlier backups
    /// left unwritten: whoever comes next finds the same state.
    pub(crate) fn warm(&self) -> anyhow::Result<()> {
        read_all(&self.path)?;
        rustix::fs::sync();
        Ok(())
    }
}

fn fill(path: &Path, size: usize, content: Content, random: &mut StdRng) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let mut block = vec![0; size.min(BLOCK)];
    let mut left = size;
    while left > 0 {
        let block = &mut block[..left.min(BLOCK)];
        random.fill_bytes(block);
        if content == Content::Letters {
            for byte in &mut *block {
                *byte = b'a' + (*byte & 15);
            }
        }
        file.write_all(block)?;
        left -= block.len();
    }
    Ok(())
}

fn read_all(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            read_all(&entry.path())?;
        } else {
            io::copy(&mut File::open(entry.path())?, &mut io::sink())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_files() {
        let directory = tempfile::tempdir().unwrap();
        let shapes = [Shape { files: 120, least: 1, most: 3000, content: Content::Letters }];
        let [a, b] = ["a", "b"].map(|name| Data::write(directory.path().join(name), &shapes, 7).unwrap());
        assert_eq!((a.files, a.bytes), (120, b.bytes));
        for name in ["0-0/0", "0-0/99", "0-1/119"] {
            let [a, b] = [&a, &b].map(|data| fs::read(data.path.join(name)).unwrap());
            assert!(!a.is_empty() && a == b && a.iter().all(u8::is_ascii_lowercase), "{name}");
        }
        a.warm().unwrap();
    }
}
