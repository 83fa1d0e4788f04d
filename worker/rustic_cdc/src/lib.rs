//! Rabin fingerprints for `rustic_core`, which finds with them where to cut large files.
//!
//! It stands in for the crate of the same name and has the part of its interface that `rustic_core` uses. That one
//! computes its tables anew for each [`Rabin64`], of which `rustic_core` makes one for each file: with many small files,
//! which are never cut, that was a third of the processor time of a first backup. Here a process computes the tables of
//! a repository's polynomial once. The fingerprints are the same, bit by bit, or nothing would be deduplicated against
//! what is in a repository already.

mod polynom;
mod rabin;
mod tables;

pub use polynom::{Polynom, Polynom64};
pub use rabin::{Rabin64, RollingHash64};
