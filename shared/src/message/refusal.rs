//! Why messages are refused.

use super::{MAX_BYTES, VERSION};
use crate::task::TaskKind;
use crate::trace::TraceContext;

/// Why a message, or a task in one, was refused. [`Refusal::code`] is the reason's stable name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is larger than [`MAX_BYTES`].
    #[error("the body has {0} bytes, at most {MAX_BYTES} are taken")]
    TooLarge(usize),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body is JSON, but neither a task nor `tasks`.
    #[error("{0}")]
    NotATask(String),
    /// `version` is another than 1.
    #[error("version: {0} is unknown, this is version {VERSION}")]
    UnknownVersion(String),
    /// A field that a task needs is absent.
    #[error("{0}: is missing")]
    MissingField(&'static str),
    /// A field's value is wrong.
    #[error("{field}: {why}")]
    InvalidField {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// `kind` is none of the contract's, or one that only Holdfast itself asks for.
    #[error("kind: {0}")]
    UnknownKind(String),
    /// No job has that name.
    #[error("job: no job is named {0:?}")]
    UnknownJob(String),
    /// The job takes no tasks.
    #[error("job: {0:?} is not active")]
    InactiveJob(String),
    /// The job's source takes no tasks of this kind: what another system backs up is only reported, and what is not is never.
    #[error("kind: {job:?} takes no {kind} tasks: {why}")]
    WrongSource {
        /// The job.
        job: String,
        /// The kind.
        kind: TaskKind,
        /// What its source is.
        why: &'static str,
    },
    /// The job takes no tasks of this priority from others.
    #[error("priority: {0:?} takes no tasks of high priority")]
    PriorityTooHigh(String),
    /// The queue and the body contradict each other.
    #[error("{0}")]
    Misrouted(String),
}

impl Refusal {
    /// Every stable name of a reason.
    pub const CODES: &'static [&'static str] = &[
        "too_large",
        "not_json",
        "not_a_task",
        "unknown_version",
        "missing_field",
        "invalid_field",
        "unknown_kind",
        "unknown_job",
        "inactive_job",
        "wrong_source",
        "priority_too_high",
        "misrouted",
    ];

    /// The reason's stable name: it goes into the dead letter's header and into metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::NotJson(_) => "not_json",
            Self::NotATask(_) => "not_a_task",
            Self::UnknownVersion(_) => "unknown_version",
            Self::MissingField(_) => "missing_field",
            Self::InvalidField { .. } => "invalid_field",
            Self::UnknownKind(_) => "unknown_kind",
            Self::UnknownJob(_) => "unknown_job",
            Self::InactiveJob(_) => "inactive_job",
            Self::WrongSource { .. } => "wrong_source",
            Self::PriorityTooHigh(_) => "priority_too_high",
            Self::Misrouted(_) => "misrouted",
        }
    }
}

/// A task that was refused, with the bytes that a dead letter keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The task's own JSON, or the whole body when no task could be told apart.
    pub body: Vec<u8>,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}
