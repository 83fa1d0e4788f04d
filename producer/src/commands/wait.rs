//! Waiting for tasks that others execute.

use std::time::Duration;

use shared::db::task::{self, State};
use shared::db::{self, Database};
use shared::task::TaskId;
use tokio::time::Instant;

use super::progress::Progress;
use super::shown;

/// How often the database is asked.
const POLL: Duration = Duration::from_millis(200);

/// Waits until a task is finished, or until the deadline; returns where it is then.
pub(super) async fn until_finished(
    database: &Database,
    id: TaskId,
    deadline: Instant,
    progress: &mut Progress,
) -> Result<State, db::Error> {
    loop {
        match look(database, id).await {
            Ok(state) if is_finished(&state) || Instant::now() >= deadline => return Ok(state),
            Ok(state) => progress.show(&describe(&state)),
            // The task does not mind: whoever watches it can wait as well.
            Err(error) if !error.blames_the_rows() && Instant::now() < deadline => {
                progress.show(&error.to_string());
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + POLL)).await;
    }
}

/// Whether nothing more will come of a task by itself.
pub(super) const fn is_finished(state: &State) -> bool {
    matches!(state, State::Succeeded | State::Cancelled | State::Dead { .. } | State::Unknown)
}

async fn look(database: &Database, id: TaskId) -> Result<State, db::Error> {
    task::state(&database.client().await?, id).await
}

/// Where a task is, for people.
fn describe(state: &State) -> String {
    match state {
        State::Unknown => "is unknown".to_owned(),
        State::Queued { waiting_for: Some(what), .. } => format!("waits for {what}"),
        State::Queued { waiting_for: None, last_error: Some(error) } => format!("queued again: {error}"),
        State::Queued { waiting_for: None, last_error: None } => "queued".to_owned(),
        State::Running { cancelled_by: Some(by), .. } => format!("is ended for {by}"),
        State::Running { progress, cancelled_by: None } => {
            let progress = progress.as_ref().map(shown::progress).filter(|progress| !progress.is_empty());
            progress.map_or_else(|| "running".to_owned(), |progress| format!("running: {progress}"))
        }
        State::Succeeded => "succeeded".to_owned(),
        State::Cancelled => "cancelled".to_owned(),
        State::Dead { last_error } => format!("dead: {last_error}"),
    }
}
