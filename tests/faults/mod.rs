//! Faults: what breaks in production, brought about on purpose, and what must hold nevertheless.
//!
//! `cargo xtask faults` runs them all, `cargo xtask test` the short forms of some. Each happens in an [`Arena`],
//! which is healed and drained in the end; then a [`Verdict`] compares the database with what the attempts
//! themselves wrote down.

mod catalogue;
mod form;
mod report;
mod screen;

mod arena;
mod effects;
mod evidence;
mod load;
mod verdict;

mod writer;

mod killed_workers;

pub use arena::Arena;
pub use catalogue::{ALL, Fault, find};
pub use effects::EffectLog;
pub use form::Form;
pub use load::{Load, backup, restore};
pub use report::{Bar, Report, table};
pub use screen::Screen;
pub use verdict::{Evidence, Verdict};
