//! What pretended attempts did, as the workers write it down outside the database: exact, and on [`Moment`]'s clock.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;
use uuid::Uuid;

use super::Servers;
use crate::measure::Moment;

/// The file that the workers append to.
#[derive(Debug)]
pub(crate) struct EffectLog {
    path: PathBuf,
    read: u64,
}

/// One line.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Effect {
    /// When.
    #[serde(rename = "at_ns")]
    pub(crate) at: Moment,
    /// By which worker.
    pub(crate) worker: Uuid,
    /// For which task.
    pub(crate) task: Uuid,
    /// As which owner.
    pub(crate) epoch: i64,
    /// What.
    #[serde(rename = "effect")]
    pub(crate) what: What,
}

/// What an attempt did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// It began.
    Started,
    /// It went on.
    Tick,
    /// It came to its end.
    Done,
}

impl EffectLog {
    /// A log in the servers' directory, which is there as soon as an attempt has run.
    pub(crate) fn new(servers: &Servers) -> Self {
        Self { path: servers.directory().join("effects.jsonl"), read: 0 }
    }

    /// The worker's setting that names it.
    pub(crate) fn setting(&self) -> (String, String) {
        ("effect_log".to_owned(), self.path.display().to_string())
    }

    /// What was written since the last call, as far as its lines are whole.
    pub(crate) fn take(&mut self) -> anyhow::Result<Vec<Effect>> {
        let mut file = File::open(&self.path)
            .with_context(|| format!("no attempt has written to {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.read))?;
        let (mut lines, mut line, mut effects) = (BufReader::new(file), String::new(), Vec::new());
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            effects.push(serde_json::from_str(&line).with_context(|| format!("not an effect: {line}"))?);
            self.read += line.len() as u64;
            line.clear();
        }
        Ok(effects)
    }
}
