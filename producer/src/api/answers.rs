//! Answers that several commands give.

use serde::Serialize;
use shared::task::TaskId;
use utoipa::ToSchema;
use uuid::Uuid;

/// A task that was enqueued.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Enqueued {
    /// Its id.
    pub(super) id: Uuid,
    /// Whether it is new: an id that was known already runs once.
    pub(super) is_new: bool,
}

impl Enqueued {
    pub(super) const fn new(id: TaskId) -> Self {
        Self { id: id.0, is_new: true }
    }
}

/// Tasks that were enqueued.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnqueuedTasks {
    /// In the order in which they were asked for.
    pub(super) tasks: Vec<Enqueued>,
}
