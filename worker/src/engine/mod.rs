//! The backup engine: `rustic_core`, run as a child process of the worker.
//!
//! `rustic_core` is synchronous, cannot be cancelled and panics on damaged data. So each operation runs in a
//! process of its own (`worker exec`): it can be killed at any moment without leaving a snapshot behind, its
//! panics stay its own, its warnings can be counted, and its memory is given back at the end.
//!
//! * [`protocol`] what the two processes say to each other, in [`lines`] and by one [`clock`]
//! * [`parent`] the worker's side: starts the child, forwards lease extensions, kills it when needed
//! * [`child`] the child's `main`; [`watchdog`] ends it at its deadline or when its parent is gone, [`fence`] keeps
//!   it from writing after the deadline, [`throttle`] from being too fast; [`output`], [`warnings`] and [`failure`] are how it tells what happened
//! * [`repository`] opens and creates repositories, with some extra care for [`local`] ones, and without deriving a
//!   [`key`] again that an earlier child derived
//! * [`backup`] lets the engine read a [`source`], whose [`recorder`] notes what it saw, and [`reconcile`]s that with
//!   the snapshot into a [`manifest`]
//! * [`verify`] [`check`]s a snapshot, or [`restore`]s it into [`scratch`] space and [`compare`]s it with its manifest
//! * [`copy`] and [`list`]
//! * [`forget`] removes snapshots, [`prune`] what no snapshot needs any more

pub mod clock;
pub mod lines;
pub mod protocol;

pub mod parent;

pub mod child;
pub mod fence;
pub mod throttle;
pub mod watchdog;

pub mod failure;
pub mod output;
pub mod warnings;

pub mod key;
pub mod local;
pub mod repository;

pub mod backup;
pub mod manifest;
pub mod paths;
pub mod reading;
pub mod reconcile;
pub mod recorder;
pub mod sample;
pub mod source;

pub mod check;
pub mod compare;
pub mod scratch;
pub mod verify;

pub mod restore;

pub mod copy;

pub mod list;

pub mod forget;
pub mod prune;
