//! What the child says.

use serde::{Deserialize, Serialize};

use super::{
    result::{OperationResult, Snapshot},
    secret::Key,
};

/// One line of the child's standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// How far the operation is; at most about five a second.
    Progress(Progress),
    /// The operation begins something else; what it did before has ended.
    Phase {
        /// What it does, in a word or two.
        name: String,
    },
    /// Something that the operation survived.
    Warning(Warning),
    /// A repository was opened, or created, by deriving its key from the password.
    Derived {
        /// [`Repository::shown`](super::Repository::shown) of the repository.
        repository: String,
        /// What came out, to be handed to the next child.
        key: Key,
    },
    /// A part of the answer to [`Operation::List`](super::Operation::List), which may be long; [`Event::Finished`] then carries none.
    Listed {
        /// The next snapshots.
        snapshots: Vec<Snapshot>,
    },
    /// The last line of an operation that came to its end.
    Finished {
        /// What came out.
        result: OperationResult,
    },
    /// The last line of an operation that failed.
    Failed(Failure),
}

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, in a few words.
    pub phase: String,
    /// Files done in this phase, if it counts files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_done: Option<u64>,
    /// Files of this phase in all, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_total: Option<u64>,
    /// Bytes done in this phase.
    pub bytes_done: u64,
    /// Bytes of this phase in all, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
}

/// Something that the operation survived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The path it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What happened; at most a few KiB.
    pub message: String,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether trying again can help.
    pub class: Class,
    /// What went wrong, in words for a person.
    pub message: String,
}

impl Failure {
    /// A failure that will not go away by itself.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { class: Class::Permanent, message: message.into() }
    }

    /// What is to be backed up cannot be: the target has nothing to do with it.
    pub fn of_source(message: impl Into<String>) -> Self {
        Self { class: Class::Source, message: message.into() }
    }

    /// There is nothing where the repository should be.
    pub fn gone(message: impl Into<String>) -> Self {
        Self { class: Class::Gone, message: message.into() }
    }

    /// A failure that may go away by itself.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { class: Class::Transient, message: message.into() }
    }
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Somebody has to change something first: wrong password, missing path, another repository, ...
    Permanent,
    /// As `Permanent`, with what is to be backed up.
    Source,
    /// There is nothing where the repository should be. Only a person can bring it back; a probe of a medium that was
    /// taken away expects it.
    Gone,
    /// It may work the next time: network, input and output, space, ...
    Transient,
}
