//! Which files get a hash in the manifest.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::protocol::Hashes;

/// The most files in a sample.
const FILES: usize = 1000;

/// The most bytes in a sample. Hashing them takes about a second of one core without special instructions, and
/// reading those that the backup did not read anyway takes about as long from a slow disk.
const BYTES: u64 = 256 * 1024 * 1024;

/// How much of one file a sample covers, so that a single large one cannot crowd out all others.
const BYTES_PER_FILE: u64 = 64 * 1024 * 1024;

/// Selects files while they stream by, in bounded memory.
///
/// Each file gets a number from a hash of the seed and its path; the files with the smallest numbers, as many as fit,
/// are the sample. So it depends on nothing but the seed and the set of files, and differs from backup to backup.
#[derive(Debug)]
pub struct Sample {
    seed: String,
    /// Number to (entry, covered bytes); `None` selects every file.
    selected: Option<BTreeMap<[u8; 16], (u64, u64)>>,
    bytes: u64,
    /// The smallest number that was turned away. Larger ones are out too, or the order of the files would matter.
    ceiling: Option<[u8; 16]>,
}

impl Sample {
    /// An empty selection.
    #[must_use]
    pub fn new(hashes: Hashes, seed: &str) -> Self {
        let selected = match hashes {
            Hashes::All => None,
            Hashes::Sample => Some(BTreeMap::new()),
        };
        Self { seed: seed.to_owned(), selected, bytes: 0, ceiling: None }
    }

    /// How many bytes of a file its hash covers.
    #[must_use]
    pub fn covered(&self, size: u64) -> u64 {
        if self.selected.is_some() { size.min(BYTES_PER_FILE) } else { size }
    }

    /// Offers a file; `true` if it is selected, though a later one may still push it out.
    pub fn offer(&mut self, entry: u64, path: &str, size: u64) -> bool {
        let bytes = self.covered(size);
        let Some(selected) = &mut self.selected else { return true };
        let number = number(&self.seed, path);
        if self.ceiling.is_some_and(|ceiling| number >= ceiling) {
            return false;
        }
        selected.insert(number, (entry, bytes));
        self.bytes += bytes;
        while selected.len() > FILES || self.bytes > BYTES {
            let Some((largest, (_, bytes))) = selected.pop_last() else { break };
            self.bytes -= bytes;
            self.ceiling = Some(largest);
        }
        selected.contains_key(&number)
    }

    /// Whether a file that was offered is in the final selection.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.selected.as_ref().is_none_or(|selected| selected.contains_key(&number(&self.seed, path)))
    }
}

fn number(seed: &str, path: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(seed).chain_update([0]).chain_update(path).finalize();
    let mut number = [0; 16];
    number.copy_from_slice(&digest[..16]);
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(files: impl Iterator<Item = (usize, u64)>) -> Vec<u64> {
        let mut sample = Sample::new(Hashes::Sample, "seed");
        for (file, size) in files {
            sample.offer(file as u64, &format!("/srv/{file}"), size);
        }
        let mut entries: Vec<_> = sample.selected.unwrap().values().map(|(entry, _)| *entry).collect();
        entries.sort_unstable();
        entries
    }

    #[test]
    fn a_sample_is_bounded_in_files_and_in_bytes() {
        assert_eq!(selected((0..5000).map(|file| (file, 10))).len(), FILES);
        assert_eq!(selected((0..5000).map(|file| (file, BYTES_PER_FILE * 10))).len(), 4);
    }

    #[test]
    fn a_sample_does_not_depend_on_the_order_of_the_files() {
        let size = |file: usize| (file as u64 * 7919) % (3 * 1024 * 1024);
        let forward = selected((0..3000).map(|file| (file, size(file))));
        let backward = selected((0..3000).rev().map(|file| (file, size(file))));
        assert_eq!(forward, backward);
    }

    #[test]
    fn another_seed_selects_other_files() {
        let mut samples = ["a", "b"].map(|seed| Sample::new(Hashes::Sample, seed));
        for file in 0..5000 {
            for sample in &mut samples {
                sample.offer(file, &file.to_string(), 1);
            }
        }
        let [a, b] = samples.map(|sample| sample.selected.unwrap());
        assert!(a.values().any(|entry| !b.values().any(|other| other == entry)));
    }

    #[test]
    fn all_means_all_and_in_full() {
        let mut sample = Sample::new(Hashes::All, "seed");
        assert!((0..5000).all(|file| sample.offer(file, &file.to_string(), BYTES)));
        assert_eq!(sample.covered(BYTES), BYTES);
    }
}
