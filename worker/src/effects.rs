//! The effect log: what the `simulated` executor did, written down outside the database.
//!
//! Tests hold it against the database: a result that was committed without its effects, or effects of an attempt that
//! had lost its task, show from here what the database alone cannot.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use shared::db::lease::Leased;
use shared::task::WorkerId;

use crate::engine::clock::BootInstant;
use crate::events;

/// An append-only file that many processes may share; nothing at all by default.
#[derive(Debug, Default)]
pub struct EffectLog(Option<File>);

/// What pretended work does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It began.
    Started,
    /// It goes on.
    Tick,
    /// It came to its end.
    Done,
}

impl EffectLog {
    /// Opens the file, and creates it if it is not there.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path).map(|file| Self(Some(file)))
    }

    /// Writes one line, in one call: lines of several processes do not mix.
    pub fn append(&self, worker: WorkerId, leased: &Leased, effect: Effect) {
        let Some(mut file) = self.0.as_ref() else { return };
        let line = json!({
            "at_ns": BootInstant::now().as_nanos(),
            "worker": worker,
            "task": leased.task.id,
            "epoch": leased.epoch,
            "effect": effect,
        });
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            events::effect_lost(&error.to_string());
        }
    }
}
