//! `producer dead replay`

use shared::broker::Delivered;
use shared::clock;
use shared::db::{self, Database};
use shared::message::{self, Refusal};
use shared::task::TaskId;

use super::decide::Outcome;
use super::letter::Letter;
use super::letters::Letters;
use crate::commands::Failure;
use crate::operations::{Actor, dead};
use crate::{events, outbox};

/// Does dead tasks again as new ones; those that somebody else settled meanwhile are absent from the answer.
pub(super) async fn tasks(
    database: &Database,
    ids: &[TaskId],
    actor: &Actor,
) -> Result<Vec<(TaskId, Outcome)>, db::Error> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let replayed = dead::replay(&transaction, ids, actor).await?;
    transaction.commit().await?;
    let tell = |(dead, new): dead::Replayed| {
        if let Ok(new) = new {
            events::task_replayed(dead, new, &actor.name);
        }
        (dead, new.map(|new| format!("replayed as {new}")))
    };
    Ok(replayed.into_iter().map(tell).collect())
}

/// Queues the tasks of a letter again under their own ids; all of them or none.
pub(super) async fn letter(
    database: &Database,
    letters: &Letters,
    letter: &Letter,
    delivered: Delivered,
    by: &str,
) -> Result<Outcome, Failure> {
    let tasks = message::read(&delivered.body, delivered.trace().as_ref(), clock::now());
    let read: Result<Vec<_>, _> = tasks.into_iter().collect();
    let messages = match read {
        Ok(messages) => messages,
        Err(refused) => return Ok(Err(still(&refused.refusal))),
    };
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let taken = outbox::take_in(&transaction, messages).await?;
    if let Some((_, _, refusal)) = taken.refused.first() {
        return Ok(Err(still(refusal)));
    }
    if taken.fresh.is_empty() {
        // Whoever published it may have published it again since, rightly.
        let why = "its id is known already, and an id runs once; `producer dead drop` removes the letter";
        return Ok(Err(why.to_owned()));
    }
    let committed = db::commit(transaction).await?;
    let mut ids: Vec<TaskId> = taken.fresh.into_iter().collect();
    ids.sort_unstable();
    events::letter_replayed(&letter.id, &ids, by);
    letters.settle(delivered, committed).await?;
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(Ok(format!("replayed as {}", ids.join(", "))))
}

fn still(refusal: &Refusal) -> String {
    let hint = match refusal {
        Refusal::UnknownJob(_) | Refusal::InactiveJob(_) => "; define it with `producer apply` first",
        _ => "; publish it again as it should be, and drop the letter",
    };
    format!("it still cannot be accepted: {refusal}{hint}")
}
