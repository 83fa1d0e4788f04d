//! Targets: attached, on their way out, away.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db;
use shared::db::target::{self, StoredTarget};
use shared::target::TargetState;

use super::{Actor, Entry, record};

/// Moves a target that is locked to another state.
pub(crate) async fn set_state(
    transaction: &Transaction<'_>,
    stored: &StoredTarget,
    state: TargetState,
    actor: &Actor,
) -> Result<(), db::Error> {
    target::set_state(transaction, stored.id, state).await?;
    let entry = Entry {
        action: "move",
        subject: "target",
        name: stored.target.name.as_str(),
        before: Some(json!({ "state": stored.state })),
        after: Some(json!({ "state": state })),
    };
    record(transaction, actor, &[entry]).await
}
