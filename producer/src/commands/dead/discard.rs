//! `producer dead drop`

use shared::broker::Delivered;
use shared::db::dead_task::Stored;
use shared::db::{self, Database};
use shared::task::TaskId;

use super::decide::Outcome;
use super::letter::Letter;
use super::letters::Letters;
use crate::commands::{Failure, shown};
use crate::events;
use crate::operations::{Actor, dead};

/// The most of a letter's body that is logged, in bytes.
const LOGGED: usize = 4000;

/// Writes down that nobody wants dead tasks; those that somebody else settled meanwhile are absent from the answer.
pub(super) async fn tasks(
    database: &Database,
    ids: &[TaskId],
    actor: &Actor,
) -> Result<Vec<(TaskId, Outcome)>, db::Error> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let dropped = dead::drop(&transaction, ids, actor).await?;
    transaction.commit().await?;
    let tell = |stored: Stored| {
        events::task_dropped(&stored, &actor.name);
        (stored.task.id, Ok("dropped".to_owned()))
    };
    Ok(dropped.into_iter().map(tell).collect())
}

/// Removes a letter; the log keeps what it said.
pub(super) async fn letter(
    letters: &Letters,
    letter: &Letter,
    delivered: Delivered,
    by: &str,
) -> Result<Outcome, Failure> {
    let start = &delivered.body[..delivered.body.len().min(LOGGED)];
    let body = shown::line(&String::from_utf8_lossy(start), LOGGED);
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    events::letter_dropped(&letter.id, &said(&letter.reason), &said(&letter.queue), &body, by);
    letters.discard(delivered).await?;
    Ok(Ok(format!("dropped: {}, {} bytes", letter.reason.as_deref().unwrap_or("no reason"), letter.bytes)))
}
