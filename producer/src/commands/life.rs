//! All that is known about one task: where it is, and its attempts.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use deadpool_postgres::tokio_postgres::IsolationLevel;
use serde::Serialize;
use shared::db::dead_task::{self, DeadState, Reason, Stored};
use shared::db::execution::{self, Finished};
use shared::db::running::{self, Held};
use shared::db::task::{self, Listed, State, Which};
use shared::db::{self, Database};
use shared::job::JobName;
use shared::params::Params;
use shared::task::{Outcome, Priority, TaskId, TaskKind};
use shared::{clock, terminal};

use super::figures;
use super::shown::{self, moment, moment_ago};

/// The longest text that is shown of an error, in characters.
const LONG: usize = 2000;

/// The JSON object that `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Life {
    #[serde(flatten)]
    stage: Stage,
    /// The dead task that it does again.
    replay_of: Option<TaskId>,
    executions: Vec<Finished>,
}

/// Where a task is, with what is known of it there.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Stage {
    Waiting(Listed),
    Running(Held),
    Dead(Dead),
    Succeeded(Gone),
    Cancelled(Gone),
}

/// A task that only its record is left of.
#[derive(Debug, Serialize)]
struct Gone {
    id: TaskId,
    kind: Option<TaskKind>,
    job: Option<String>,
}

/// A dead task as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Dead {
    pub(super) id: TaskId,
    pub(super) kind: TaskKind,
    priority: Priority,
    pub(super) job: Option<JobName>,
    params: Params,
    requested_by: String,
    enqueued_at: DateTime<Utc>,
    pub(super) attempts: i32,
    rescues: i32,
    pub(super) reason: Reason,
    pub(super) last_error: String,
    pub(super) died_at: DateTime<Utc>,
    pub(super) decision: DeadState,
    decided_at: Option<DateTime<Utc>>,
    decided_by: Option<String>,
    replayed_as: Option<TaskId>,
}

impl From<Stored> for Dead {
    fn from(stored: Stored) -> Self {
        let Stored { task, job, attempts, rescues, reason, last_error, died_at, .. } = stored;
        Self {
            id: task.id,
            kind: task.kind,
            priority: task.priority,
            job,
            params: task.params,
            requested_by: task.requested_by,
            enqueued_at: task.enqueued_at,
            attempts,
            rescues,
            reason,
            last_error,
            died_at,
            decision: stored.state,
            decided_at: stored.settled_at,
            decided_by: stored.settled_by,
            replayed_as: stored.replayed_as,
        }
    }
}

impl Dead {
    /// What was decided about it, for people.
    pub(super) fn decided(&self) -> String {
        let by = self.decided_by.as_deref().map(|by| format!(" by {}", shown::line(by, shown::CELL)));
        let at = self.decided_at.map(|at| format!(" at {}", moment(at)));
        let new = self.replayed_as.map(|new| format!(" as {new}"));
        let details = [new, by, at].into_iter().flatten().collect::<String>();
        format!("{}{details}", self.decision)
    }
}

impl Life {
    /// Reads what is known about a task; `None` when its id is not known.
    pub(super) async fn read(database: &Database, id: TaskId) -> Result<Option<Self>, db::Error> {
        let mut client = database.client().await?;
        // A task may move from table to table meanwhile: one snapshot shows it in one place.
        let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let snapshot = snapshot.read_only(true).start().await?;
        let executions = execution::of_task(&snapshot, id).await?;
        let Some(stage) = Stage::read(&snapshot, id, executions.last()).await? else { return Ok(None) };
        let replay_of = dead_task::replay_of(&snapshot, id).await?;
        Ok(Some(Self { stage, replay_of, executions }))
    }

    /// Whether the task is dead.
    pub(super) const fn is_dead(&self) -> bool {
        matches!(self.stage, Stage::Dead(_))
    }

    /// The life for people.
    pub(super) fn text(&self) -> String {
        let mut fields = self.stage.fields(clock::now());
        if let Some(dead) = self.replay_of {
            fields.push(("replay of", dead.to_string()));
        }
        let mut text = aligned(&fields);
        if self.executions.is_empty() {
            text.push_str("\nended attempts: none\n");
        } else {
            _ = writeln!(text, "\nended attempts\n{}", attempts(&self.executions));
            let detail = self.executions.last().and_then(|last| last.detail.as_ref());
            if let Some(figures) = detail.and_then(figures::text) {
                _ = writeln!(text, "\n{figures}");
            }
        }
        text
    }
}

impl Stage {
    async fn read<C: GenericClient>(
        client: &C,
        id: TaskId,
        newest: Option<&Finished>,
    ) -> Result<Option<Self>, db::Error> {
        let gone = || Gone {
            id,
            kind: newest.map(|attempt| attempt.kind),
            job: newest.and_then(|attempt| attempt.job.clone()),
        };
        Ok(match task::state(client, id).await? {
            State::Unknown => None,
            State::Queued { .. } => task::list(client, &Which::one(id), 1).await?.pop().map(Self::Waiting),
            State::Running { .. } => {
                running::list(client, &Which::one(id), 1).await?.pop().map(Self::Running)
            }
            State::Dead { .. } => {
                let one = dead_task::Filter { ids: vec![id], ..dead_task::Filter::default() };
                dead_task::list(client, &one, true, 1).await?.pop().map(|stored| Self::Dead(stored.into()))
            }
            State::Succeeded => Some(Self::Succeeded(gone())),
            State::Cancelled => Some(Self::Cancelled(gone())),
        })
    }

    fn fields(&self, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
        match self {
            Self::Waiting(waiting) => waiting_fields(waiting, now),
            Self::Running(held) => running_fields(held, now),
            Self::Dead(dead) => dead_fields(dead, now),
            Self::Succeeded(gone) => gone_fields(gone, "succeeded"),
            Self::Cancelled(gone) => gone_fields(gone, "cancelled"),
        }
    }
}

fn waiting_fields(task: &Listed, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let starts = match (&task.waiting_for, task.run_at) {
        (Some(what), _) => {
            let since = task.waiting_since.map(|since| format!(", since {}", moment_ago(since, now)));
            format!("waits for {what}{}", since.unwrap_or_default())
        }
        (None, Some(at)) if at > now => format!("{} (in {})", moment(at), shown::age(now, at)),
        (None, _) => "as soon as a worker takes it".to_owned(),
    };
    let mut fields = vec![
        ("task", task.id.to_string()),
        ("state", "waiting".to_owned()),
        ("kind", format!("{}.{}", task.kind, task.priority)),
        ("job", task.job.clone().unwrap_or_default()),
        ("asked for", asked(task.enqueued_at, &task.requested_by, now)),
        ("starts", starts),
        ("attempts", task.attempt.to_string()),
        ("rescues", task.rescues.to_string()),
        ("params", shown::line(task.params.json().get(), usize::MAX)),
    ];
    if let Some(error) = &task.last_error {
        fields.push(("last error", shown::line(error, LONG)));
    }
    fields
}

fn running_fields(task: &Held, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("task", task.id.to_string()),
        ("state", "running".to_owned()),
        ("kind", format!("{}.{}", task.kind, task.priority)),
        ("job", task.job.clone().unwrap_or_default()),
        ("asked for", asked(task.enqueued_at, &task.requested_by, now)),
        ("started", moment_ago(task.started_at, now)),
        ("worker", shown::line(&task.worker, shown::CELL)),
        ("lease until", moment(task.lease_until)),
        ("attempt", task.attempt.to_string()),
        ("rescues", task.rescues.to_string()),
        ("progress", task.progress.as_ref().map(shown::progress).unwrap_or_default()),
        ("params", shown::line(task.params.json().get(), usize::MAX)),
    ];
    if let Some(by) = &task.cancelled_by {
        fields.push(("to end", format!("asked for by {}", shown::line(by, shown::CELL))));
    }
    fields
}

fn dead_fields(task: &Dead, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    vec![
        ("task", task.id.to_string()),
        ("state", "dead".to_owned()),
        ("decision", task.decided()),
        ("kind", format!("{}.{}", task.kind, task.priority)),
        ("job", task.job.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("asked for", asked(task.enqueued_at, &task.requested_by, now)),
        ("died", moment_ago(task.died_at, now)),
        ("reason", task.reason.to_string()),
        ("last error", shown::line(&task.last_error, LONG)),
        ("attempts", task.attempts.to_string()),
        ("rescues", task.rescues.to_string()),
        ("params", shown::line(task.params.json().get(), usize::MAX)),
    ]
}

fn gone_fields(task: &Gone, state: &str) -> Vec<(&'static str, String)> {
    vec![
        ("task", task.id.to_string()),
        ("state", state.to_owned()),
        ("kind", task.kind.map(|kind| kind.to_string()).unwrap_or_default()),
        ("job", task.job.clone().unwrap_or_default()),
    ]
}

fn asked(at: DateTime<Utc>, by: &str, now: DateTime<Utc>) -> String {
    let by = if by.is_empty() { "somebody".to_owned() } else { shown::line(by, shown::CELL) };
    format!("{} by {by}", moment_ago(at, now))
}

/// Names and values in two columns.
pub(super) fn aligned(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in fields {
        _ = writeln!(text, "{name:<width$}  {value}");
    }
    text
}

fn attempts(executions: &[Finished]) -> impl std::fmt::Display {
    let mut table =
        terminal::table(&["attempt", "outcome", "target", "worker", "started", "took", "size", "error"]);
    for attempt in executions {
        let size = match attempt.outcome {
            Outcome::Success | Outcome::Warning => terminal::bytes(attempt.bytes),
            _ => String::new(),
        };
        table.add_row([
            attempt.attempt.to_string(),
            attempt.outcome.to_string(),
            attempt.target.clone().unwrap_or_default(),
            attempt.worker.clone().unwrap_or_default(),
            moment(attempt.started_at),
            terminal::seconds(attempt.seconds),
            size,
            shown::line(attempt.error.as_deref().unwrap_or_default(), LONG),
        ]);
    }
    table
}
