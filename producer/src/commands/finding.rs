//! What is known about a task that was waited for.

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use shared::db::task::State;
use shared::db::{self, Database};
use shared::task::{Outcome, TaskId};
use shared::terminal;

use super::{Exit, figures};

/// The JSON object that `--json` prints; the fields after `state` are those of the newest attempt.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    id: TaskId,
    state: &'static str,
    outcome: Option<Outcome>,
    seconds: Option<f64>,
    bytes: Option<i64>,
    error: Option<String>,
    detail: Option<Value>,
}

impl Finding {
    pub(super) async fn of(database: &Database, id: TaskId, state: State) -> Result<Self, db::Error> {
        let attempt = db::execution::of_task(&database.client().await?, id).await?.pop();
        let (state, error, detail) = match state {
            State::Unknown => ("unknown", None, None),
            State::Queued { waiting_for, last_error } => {
                ("queued", last_error, waiting_for.map(|what| json!({ "waiting_for": what })))
            }
            State::Running { .. } => ("running", None, None),
            State::Succeeded => ("succeeded", None, None),
            State::Cancelled => ("cancelled", None, None),
            State::Dead { last_error } => ("dead", Some(last_error), None),
        };
        let mut found = Self { id, state, outcome: None, seconds: None, bytes: None, error, detail };
        if let Some(attempt) = attempt {
            found.outcome = Some(attempt.outcome);
            found.seconds = Some(attempt.seconds);
            found.bytes = Some(attempt.bytes);
            found.error = found.error.or(attempt.error);
            found.detail = found.detail.or(attempt.detail);
        }
        Ok(found)
    }

    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            shared::say!("{}", serde_json::to_string(self).context("printing the answer")?);
            return Ok(());
        }
        let mut line = format!("{} {}", self.id, self.state);
        if let (Some(outcome), Some(seconds), Some(bytes)) = (self.outcome, self.seconds, self.bytes) {
            let (seconds, bytes) = (terminal::seconds(seconds), terminal::bytes(bytes));
            line = format!("{line}: {outcome} after {seconds}, {bytes}");
        }
        shared::say!("{line}");
        if let Some(error) = &self.error {
            shared::say!("{error}");
        }
        if let Some(figures) = self.detail.as_ref().and_then(figures::text) {
            shared::say!("{figures}");
        }
        if let Some(waiting_for) = self.detail.as_ref().and_then(|detail| detail.get("waiting_for")) {
            shared::say!("waits for {}", waiting_for.as_str().unwrap_or_default());
        }
        Ok(())
    }

    /// What the exit code of a command says that waited for the task.
    pub(super) fn exit(&self) -> Exit {
        match (self.state, self.outcome) {
            ("queued" | "running", _) => Exit::TimedOut,
            ("succeeded", None | Some(Outcome::Success | Outcome::Warning)) => Exit::Done,
            _ => Exit::Failed,
        }
    }
}
