//! The backup engine: `rustic_core`, run as a child process of the worker.
//!
//! `rustic_core` is synchronous, cannot be cancelled and panics on damaged data. So each operation runs in a
//! process of its own (`worker exec`): it can be killed at any moment without leaving a snapshot behind, its
//! panics stay its own, its warnings can be counted, and its memory is given back at the end.
//!
//! * [`protocol`] what the two processes say to each other
//! * [`parent`] the worker's side: starts the child, forwards lease extensions, kills it when needed
//! * [`child`] the child's `main`
//! * [`watchdog`] ends the child at its deadline or when its parent is gone
//! * the operations themselves: [`repository`], [`backup`], [`copy`], [`list`], [`restore`], [`verify`], and the
//!   [`manifest`] that a backup writes and a restore test compares with

pub mod child;
pub mod clock;
pub mod lines;
pub mod parent;
pub mod protocol;
