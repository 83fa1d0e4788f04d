//! What is left of a try of the transaction whose end was not heard.

use std::collections::HashMap;

use shared::db;
use shared::limit::Key;
use shared::task::TaskId;

use super::{Answer, Claim, Started};
use crate::admit::Wish;
use crate::claim::Batch;
use crate::limits::Permit;

/// What an earlier try of the transaction may have committed without our hearing of it.
#[derive(Debug, Default)]
pub(in crate::claim) struct Earlier {
    /// Whether there was one.
    pub(in crate::claim) any: bool,
    /// The tasks that it started, for each call.
    pub(in crate::claim) called: Vec<Vec<TaskId>>,
}

impl Claim<'_, '_> {
    /// Takes over what an earlier try of this transaction started.
    pub(super) async fn adopt(
        &self,
        started: &mut HashMap<TaskId, Started>,
        answers: &mut [Answer],
        earlier: &Earlier,
        batch: &Batch,
    ) -> Result<(), db::Error> {
        if !earlier.any {
            return Ok(());
        }
        // Also those that may not start any more, because what they started with counts already.
        let delivered = batch.delivered.iter().filter(|admitted| matches!(admitted.wish, Wish::Start(..)));
        let delivered = delivered.map(|admitted| &admitted.task.id);
        let called = earlier.called.iter().flatten();
        let unknown = |id: &TaskId| !self.worker.leases.knows(*id) && !started.contains_key(id);
        let ids: Vec<TaskId> = delivered.chain(called).copied().filter(unknown).collect();
        for leased in
            db::lease::adopt(self.transaction, self.worker.identity.id, self.worker.lease, &ids).await?
        {
            let id = leased.task.id;
            let call = earlier.called.iter().position(|called| called.contains(&id));
            let came_with = |key: &Key| {
                match call {
                Some(call) => batch.calls[call].key == *key && !batch.calls[call].permits.is_empty(),
                None => batch.delivered.iter().filter(|admitted| admitted.task.id == id).any(|admitted| {
                    matches!(&admitted.wish, Wish::Start(_, permits) if permits.iter().any(|(of, _)| of == key))
                }),
            }
            };
            // What it took beside those is gone with the try that took it.
            let limits = self.book.limits(self.kind, leased.task.job, &leased.task.params);
            let strict = limits.iter().filter(|limited| limited.limit.strict && !came_with(&limited.key));
            let permits = strict.map(|limited| (limited.key.clone(), Permit::expired())).collect();
            if let Some(call) = call {
                answers[call].tasks.push(id);
            }
            started.insert(id, Started { leased, permits, since: None });
        }
        Ok(())
    }
}
