//! Looks at a target: what it answers means something else while it is attached, leaving, or away.

use serde_json::json;
use shared::db;
use shared::db::target::StoredTarget;
use shared::evidence::Finding;
use shared::target::TargetState;
use shared::task::Ended;
use shared::work::ProbeParams;

use super::attempt::{Attempt, refuse, retry};
use super::repository::{describe, unexpected};
use crate::engine::parent::EngineError;
use crate::engine::protocol::{List, Operation, OperationResult};
use crate::outcome::Outcome;
use shared::db::definition::JobWithTargets;

/// Probes a target for a job. It takes no lock: it only reads names, and a target that is away has to be probed too.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    plan: &JobWithTargets,
    params: &ProbeParams,
) -> Result<Outcome, Ended> {
    let client = attempt.worker.database.client().await.map_err(retry)?;
    let stored = db::target::by_name(&client, &params.target).await.map_err(retry)?;
    let stored = stored.ok_or_else(|| refuse(format!("no target is named {}", params.target)))?;
    let newest = db::restore_point::newest(&client, plan.job.id, stored.id).await.map_err(retry)?;
    drop(client);
    let newest = newest.map(|point| point.snapshot);

    let repository = describe(&stored)?;
    let is_local = repository.location.starts_with('/');
    let list = List { repository, job: plan.job.job.name.to_string() };
    let seen = match attempt.engine(Operation::List(list)).await {
        Ok(completed) => match completed.result {
            OperationResult::List(list) => {
                Seen::Listed { present: newest.is_some_and(|id| list.snapshots.iter().any(|s| s.id == id)) }
            }
            _ => return Err(unexpected()),
        },
        Err(EngineError::Gone(why)) => Seen::Nothing(why),
        // A server that was taken away does not answer. A path that cannot be read may still be there.
        Err(EngineError::Transient(why)) if !is_local => Seen::Nothing(why),
        // A wrong password, or another repository: something answered. Anything else says nothing about the target.
        Err(error) => return Err(error.into()),
    };
    Ok(judge(&stored, seen))
}

enum Seen {
    Listed { present: bool },
    Nothing(String),
}

fn judge(stored: &StoredTarget, seen: Seen) -> Outcome {
    let outcome = |finding: Finding, ended| Outcome {
        ended,
        detail: Some(json!({ "state": stored.state, "finding": finding })),
        findings: vec![finding],
        as_of: Some(stored.changed_at),
        ..Outcome::done().on(stored.id)
    };
    let done = Ended::Done { warning: false };
    match (stored.state, seen) {
        (TargetState::Attached, Seen::Listed { present }) => outcome(Finding::Listing { present }, done),
        (TargetState::Detaching, Seen::Listed { present }) => outcome(Finding::Inventory { present }, done),
        (TargetState::Detached, Seen::Listed { .. }) => outcome(Finding::Reached, done),
        (TargetState::Detached, Seen::Nothing(_)) => outcome(Finding::Detached, done),
        (TargetState::Attached, Seen::Nothing(why)) => {
            outcome(Finding::Listing { present: false }, retry(why))
        }
        (TargetState::Detaching, Seen::Nothing(why)) => Outcome::refused(why).on(stored.id),
    }
}
