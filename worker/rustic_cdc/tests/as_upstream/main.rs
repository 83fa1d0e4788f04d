//! The same fingerprints and the same cuts as the crate that this one stands in for.
//!
//! The expected values were computed with `rustic_cdc` 0.3.1 from crates.io, by a program that had these functions and
//! printed what they gave. Three of the polynomials are irreducible, as those of repositories are, the last one is not.

use rustic_cdc::{Rabin64, RollingHash64};

mod expected;

/// What `rustic_core` cuts by, if a repository says nothing else.
const LEAST: usize = 512 * 1024;
const MOST: usize = 8 * 1024 * 1024;
const MASK: u64 = 1024 * 1024 - 1;
const WINDOW_BITS: u32 = 6;

/// Bytes without any pattern (`SplitMix64`).
fn random(mut seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The lengths of the chunks that `rustic_core` cuts a file into.
fn chunks(polynom: u64, file: &[u8]) -> Vec<usize> {
    let mut rabin = Rabin64::new_with_polynom(WINDOW_BITS, &polynom);
    let mut lengths = Vec::new();
    let mut rest = file;
    while rest.len() > LEAST {
        rabin.reset_and_prefill_window(&mut rest[LEAST - 64..LEAST].iter().copied());
        let mut length = LEAST;
        while length < rest.len().min(MOST) && rabin.hash & MASK != 0 {
            rabin.slide(rest[length]);
            length += 1;
        }
        lengths.push(length);
        rest = &rest[length..];
    }
    lengths.extend(Some(rest.len()).filter(|last| *last > 0));
    lengths
}

/// A digest of all fingerprints on the way through some bytes, with a new start every 10,000.
fn trace(polynom: u64, window_bits: u32, bytes: &[u8]) -> u64 {
    let mut rabin = Rabin64::new_with_polynom(window_bits, &polynom);
    let mut digest = 0_u64;
    for part in bytes.chunks(10_000) {
        let mut part = part.iter().copied();
        digest = digest.wrapping_add(rabin.reset_and_prefill_window(&mut part) as u64);
        for byte in part {
            rabin.slide(byte);
            digest = (digest.rotate_left(5) ^ rabin.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    digest
}

#[test]
fn random_files_are_cut_at_the_same_places() {
    let file = random(1, 24 * 1024 * 1024);
    for (polynom, lengths) in expected::RANDOM {
        assert_eq!(chunks(polynom, &file), lengths, "{polynom:#x}");
    }
}

#[test]
fn files_of_few_different_bytes_are_cut_at_the_same_places() {
    let file: Vec<u8> = random(2, 12 * 1024 * 1024).iter().map(|byte| b'a' + byte % 4).collect();
    for (polynom, lengths) in expected::LETTERS {
        assert_eq!(chunks(polynom, &file), lengths, "{polynom:#x}");
    }
}

#[test]
fn files_that_repeat_themselves_are_cut_at_the_same_places() {
    let file = random(3, 1000).repeat(20_000);
    for (polynom, lengths) in expected::REPEATING {
        assert_eq!(chunks(polynom, &file), lengths, "{polynom:#x}");
    }
}

#[test]
fn zeros_are_cut_at_the_same_places() {
    for (polynom, lengths) in expected::ZEROS {
        assert_eq!(chunks(polynom, &vec![0; 2_000_000]), lengths, "{polynom:#x}");
    }
}

#[test]
fn all_fingerprints_on_the_way_are_the_same() {
    let bytes = random(4, 1024 * 1024);
    for (polynom, window_bits, digest) in expected::TRACES {
        assert_eq!(trace(polynom, window_bits, &bytes), digest, "{polynom:#x}, {window_bits} bits");
    }
}
